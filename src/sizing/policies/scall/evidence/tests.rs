use super::*;

const HERE: [f32; ACTIONS] = [0.2, 0.3, 0.4];
const THERE: [f32; ACTIONS] = [0.9, 0.9, 0.9];

/// Evidence after segments, each with probes of an action, with the ratio and its error.
fn after(segments: &[&[([f32; ACTIONS], f64, f64)]]) -> Evidence {
    let mut evidence = Evidence::default();
    for probes in segments {
        evidence.fade();
        for &(action, ratio, error) in *probes {
            evidence.add(action, Relative { ratio, error }, false);
        }
    }
    evidence
}

fn assert_belief(evidence: &Evidence, action: [f32; ACTIONS], ratio: f64, error: f64) {
    let belief = evidence.belief(action);
    assert!((belief.ratio - ratio).abs() < 1e-6 && (belief.error - error).abs() < 1e-6, "{belief:?}");
}

#[test]
fn beliefs_are_as_the_formula_says() {
    // The variance is 0.05^2 + 0.05^2, so the probe's precision is 200 next to the prior's 100.
    let one = after(&[&[(HERE, 1.12, 0.05)]]);
    assert_belief(&one, HERE, 1.08, 300f64.powf(-0.5));
    assert_belief(&one, THERE, 1.0, 0.1);
    // A neighbour as far as the kernel reaches.
    let weight = f64::exp(-0.5);
    let expected = (1.0 + 0.12 * 200.0 * weight / (100.0 + 200.0 * weight), (100.0 + 200.0 * weight).powf(-0.5));
    assert_belief(&one, [0.35, 0.3, 0.4], expected.0, expected.1);
    // Probes of one segment share their users: three say what one does. Those of another segment have others.
    let probe = (HERE, 1.12, 0.05);
    assert_belief(&after(&[&[probe, probe, probe]]), HERE, 1.08, 300f64.powf(-0.5));
    assert_belief(&after(&[&[probe], &[probe]]), HERE, 1.0 + 0.12 * 380.0 / 480.0, 480f64.powf(-0.5));
}

#[test]
fn luck_does_not_win() {
    assert_eq!((Evidence::default().choose(None), Evidence::default().leader()), (None, None));
    // Two segments agree on one action; of another there is one probe, which is better and says little.
    let evidence = after(&[&[(HERE, 1.08, 0.03)], &[(HERE, 1.08, 0.03), (THERE, 1.18, 0.1)]]);
    assert_eq!(evidence.leader(), Some(THERE), "worth another look");
    assert_eq!(evidence.choose(None), Some(HERE), "worth using");
    // The same ratio from more users is worth more.
    let [few, many] = [0.1, 0.01].map(|error| after(&[&[(HERE, 1.05, error)]]));
    assert!(many.belief(HERE).ratio > few.belief(HERE).ratio && many.belief(HERE).error < few.belief(HERE).error);
    assert_eq!((few.choose(None), many.choose(None)), (None, Some(HERE)));
}

#[test]
fn what_is_in_use_is_kept_unless_it_is_beaten() {
    let here = (HERE, 1.1, 0.02);
    let choose = |there: f64| after(&[&[here, (THERE, there, 0.02)]]).choose(Some(HERE));
    assert_eq!(after(&[&[here, (THERE, 1.11, 0.02)]]).leader(), Some(THERE));
    assert_eq!(choose(1.11), Some(HERE), "less than a change costs");
    assert_eq!(choose(1.13), Some(THERE));
    // It may be better by more, and that may be luck.
    let unsure = after(&[&[here, (THERE, 1.19, 0.1)]]);
    assert_eq!((unsure.leader(), unsure.choose(Some(HERE))), (Some(THERE), Some(HERE)));
    // Not good enough to begin with, but to go on with; and worse than uniform sizes.
    let good = after(&[&[(HERE, 1.01, 0.02)]]);
    assert_eq!((good.choose(None), good.choose(Some(HERE))), (None, Some(HERE)));
    let bad = after(&[&[(HERE, 0.99, 0.02)]]);
    assert_eq!((bad.choose(None), bad.choose(Some(HERE)), bad.leader()), (None, None, None));
    let other = after(&[&[(HERE, 0.99, 0.02), (THERE, 1.2, 0.02)]]);
    assert_eq!(other.choose(Some(HERE)), Some(THERE));
}

#[test]
fn a_segment_that_began_without_rows_shows_where_to_look_and_no_more() {
    let relative = Relative { ratio: 1.27, error: 0.068 };
    let mut evidence = Evidence::default();
    evidence.add(HERE, relative, true);
    assert_eq!((evidence.leader(), evidence.choose(None)), (Some(HERE), None));
    evidence.fade();
    evidence.add(HERE, relative, false);
    assert_eq!(evidence.choose(None), Some(HERE));
}

#[test]
fn old_segments_fade() {
    let mut evidence = after(&[&[(HERE, 1.2, 0.02)]]);
    (0..28).for_each(|_| evidence.fade());
    assert_eq!(evidence.probes.len(), 1);
    let precision = 0.9f64.powi(28) / 0.0029;
    assert_belief(&evidence, HERE, 1.0 + 0.2 * precision / (100.0 + precision), (100.0 + precision).powf(-0.5));
    evidence.fade();
    assert!(evidence.probes.is_empty());
}

#[test]
fn a_segment_with_hardly_anybody_decides_nothing() {
    let evidence = after(&[&[(HERE, 3.0, f64::INFINITY)]]);
    assert!(evidence.probes.is_empty(), "one user");
    // Three users, of whom one is ranked better.
    let evidence = after(&[&[(HERE, 3.0, 2.0)]]);
    assert_eq!(evidence.choose(None), None);
    let evidence = after(&[&[(HERE, 1e300, 0.0)]]);
    assert_belief(&evidence, HERE, 1.8, 500f64.powf(-0.5));
}

#[test]
fn what_is_saved_is_checked_when_it_is_restored() {
    let evidence = after(&[&[(HERE, 1.1, 0.02)], &[(THERE, 0.9, 0.1), (HERE, 1.2, 0.03)]]);
    assert_eq!(Evidence::restored(&evidence.save()).unwrap(), evidence);
    let said = |seen: Seen| {
        let evidence = Evidence { probes: vec![evidence.probes[0], seen] };
        Evidence::restored(&evidence.save()).unwrap_err().to_string()
    };
    let good = evidence.probes[1];
    let wrong = said(Seen { action: [0.5, 1.5, 0.5], ..good });
    assert!(wrong.contains("actions") && wrong.contains("from 0 to 1"), "{wrong}");
    let wrong = said(Seen { ratio: 2.5, ..good });
    assert!(wrong.contains("ratios") && wrong.contains("from 0.5 to 2"), "{wrong}");
    for variance in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let wrong = said(Seen { variance, ..good });
        assert!(wrong.contains("variances") && wrong.contains("finite and at least 0.05^2"), "{wrong}");
    }
    let wrong = said(Seen { age: FORGOTTEN, ..good });
    assert!(wrong.contains("ages") && wrong.contains("below 29"), "{wrong}");
    let mut short = evidence.save();
    short.put("ages", vec![0u32]);
    assert!(Evidence::restored(&short).is_err());
}
