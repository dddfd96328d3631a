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

/// Biases and sizes of values that differ widely, as popular items and the others do: most panels reach no list.
/// Numbers near the end of the range, and past it, are still where they belong.
#[test]
fn panels_that_reach_no_list_hide_nothing() {
    let device = Device::cpu();
    for (large, item_bias) in [(1.0f32, true), (1.0, false), (1e18, true), (1e19, false), (3e38, true)] {
        let mut case = Case::new([40, 3000], 17, item_bias, 20);
        let (stride, bias) = (case.stride(), usize::from(item_bias));
        case.queries = signed(40 * 17, 3).into_iter().map(|value| value * large.min(1e19)).collect();
        case.candidates = signed(3000 * stride, 4);
        for (c, row) in case.candidates.chunks_exact_mut(stride).enumerate() {
            let scale = large.min(1e19) / (1 + c % 50 + c / 500) as f32;
            row[bias..].iter_mut().for_each(|value| *value *= scale);
            // A few by the end of the range, of both signs.
            row[..bias].iter_mut().for_each(|value| *value *= if c % 97 == 0 { large } else { scale });
        }
        let case = case.ragged();
        let score = |u: usize, c: u32| {
            let (bias, row) = case.candidates[c as usize * stride..][..stride].split_at(bias);
            let query = &case.queries[u * 17..][..17];
            query.iter().zip(row).fold(bias.first().copied().unwrap_or(0.0), |sum, (q, e)| sum + q * e)
        };
        let (scores, positions) = case.run(&device, &[1000], false);
        for u in 0..40 {
            let open = (0..3000).filter(|c| !case.excluded[u].contains(c));
            let mut all: Vec<(f32, u32)> =
                open.map(|c| (score(u, c), c)).filter(|(score, _)| !score.is_nan()).collect();
            all.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap().then(a.1.cmp(&b.1)));
            all.resize(all.len().max(20), (f32::NEG_INFINITY, u32::MAX));
            let want: (Vec<f32>, Vec<u32>) = all[..20].iter().map(|(score, c)| (score + 0.0, *c)).unzip();
            let (scores, positions) = (&scores[u * 20..][..20], &positions[u * 20..][..20]);
            assert_same(&format!("{large} {u} positions"), positions, &want.1);
            assert_same(&format!("{large} {u} scores"), scores, &want.0);
        }
    }
}
