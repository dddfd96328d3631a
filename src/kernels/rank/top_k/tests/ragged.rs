//! Rows of different widths, in any order.

use super::*;

/// The order of the candidates, by width or not, and what is not multiplied, change no bit.
#[test]
fn widths_and_order_change_no_bit() {
    for device in devices() {
        for (users, items, item_bias) in [(1, 33, false), (13, 500, true), (70, 500, false)] {
            let mut case = Case::new([users, items], 40, item_bias, 20);
            (case.queries, case.candidates) = (signed(users * 40, 1), signed(items * case.stride(), 2));
            // Both zeros.
            case.queries.iter_mut().step_by(5).for_each(|value| *value *= 0.0);
            let mut case = case.ragged();
            let ragged = case.ragged.take();
            let want = case.run(&device, &[], false);
            case.ragged = ragged;
            let widths = |case: &Case| case.ragged.as_ref().unwrap().candidates.clone();
            let widths = widths(&case);
            for order in 0..5 {
                let positions = &mut case.ragged.as_mut().unwrap().order;
                match order {
                    0 => positions.sort_by_key(|p| std::cmp::Reverse(widths[*p as usize])),
                    1 => positions.sort_by_key(|p| widths[*p as usize]),
                    2 => positions.sort_unstable(),
                    3 => positions.reverse(),
                    _ => positions.sort_by_key(|p| (p * 7919) % items as u32),
                }
                for ends in [&[][..], &[17, 100, 101]] {
                    let got = case.run(&device, ends, order == 1);
                    let bits = |scores: &[f32]| scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>();
                    assert_same(&format!("order {order} positions"), &got.1, &want.1);
                    assert_same(&format!("order {order} scores"), &bits(&got.0), &bits(&want.0));
                }
            }
        }
    }
}

/// Sizes by a power law, as tables have them: frequency in rank order, and items in the order of their ids.
#[test]
fn rows_in_the_order_of_their_width_multiply_few_zeros() {
    let sizes = |rows: u32| -> Vec<u32> { (0..rows).map(|rank| 1 + 63 * (rows / 30) / (rank + rows / 30)).collect() };
    let mixed = |sizes: &[u32]| -> Vec<u32> { (0..sizes.len()).map(|i| sizes[i * 7919 % sizes.len()]).collect() };
    let (users, items) = (sizes(1040), sizes(16_200));
    let sorted = MultiplyAdds::of(&users, &items);
    let unsorted = MultiplyAdds::of(&mixed(&users), &mixed(&items));
    assert_eq!(sorted.needed, unsorted.needed);
    assert_eq!((sorted.done, unsorted.done, sorted.needed), (72_323_136, 337_834_944, 71_851_222));
    assert_eq!(MultiplyAdds::of(&[], &items), MultiplyAdds { done: 0, needed: 0 });
    assert_eq!(MultiplyAdds::of(&[3], &[]), MultiplyAdds { done: 0, needed: 0 });
    assert_eq!(MultiplyAdds::of(&[3], &[5, 2]), MultiplyAdds { done: 6 * 32 * 3, needed: 5 });
}

/// A list may come with scores that are none: they are below all others.
#[test]
fn lists_of_nan_fill_up() {
    for device in devices() {
        let [queries, candidates] = [&[1.0f32][..], &[3.0, f32::NAN, 4.0]].map(|values| upload(&device, values));
        let (offsets, excluded) = (upload(&device, &[0u32, 0]), upload::<u32>(&device, &[0]));
        let mut best_scores = upload(&device, &[f32::NAN; 2]);
        let mut best_positions = upload(&device, &[u32::MAX; 2]);
        TopK {
            queries: &queries,
            query_count: 1,
            candidates: &candidates,
            candidate_count: 3,
            candidate_base: 0,
            dims: 1,
            item_bias: false,
            ragged: None,
            excluded_offsets: &offsets,
            excluded: &excluded,
            k: 2,
            fresh: false,
            best_scores: &mut best_scores,
            best_positions: &mut best_positions,
        }
        .run(&device)
        .unwrap();
        assert_same("positions", &best_positions.read().unwrap(), &[2, 0]);
        assert_same("scores", &best_scores.read().unwrap(), &[4.0, 3.0]);
    }
}
