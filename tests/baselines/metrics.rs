//! Metrics against those of other libraries, on one file of lists. `metrics.py` made it, and says how.
//!
//! ranx and RecBole both sum in f64 but in another order, and the sums over 200 users agree to 1e-13.

use std::collections::BTreeMap;

use scall_gpu::eval::{AtCutoff, CatalogueAtCutoff, CatalogueMetrics, Cutoffs, Metrics};
use serde::Deserialize;

/// A metric's name, and its value by cutoff.
type Found = BTreeMap<String, BTreeMap<u32, f64>>;

#[derive(Deserialize)]
struct Reference {
    items: u32,
    longest: usize,
    popularity: Vec<u32>,
    lists: Vec<Vec<u32>>,
    relevant: Vec<Vec<u32>>,
    ranx: Found,
    recbole: Found,
}

impl Reference {
    fn read() -> (Self, Cutoffs) {
        let reference: Self = serde_json::from_str(include_str!("metrics.json")).unwrap();
        let cutoffs = Cutoffs::new(reference.ranx["recall"].keys().copied()).unwrap();
        (reference, cutoffs)
    }

    fn users(&self) -> impl Iterator<Item = (&[u32], &[u32])> {
        self.lists.iter().zip(&self.relevant).map(|(list, relevant)| (&list[..], &relevant[..]))
    }
}

#[track_caller]
fn assert_close(name: &str, cutoff: u32, ours: f64, theirs: &Found) {
    let theirs = theirs[name][&cutoff];
    assert!((ours - theirs).abs() <= 1e-13 * theirs.abs().max(1.0), "{name}@{cutoff}: {ours} and {theirs}");
}

#[test]
fn the_file_has_what_is_hard() {
    let (reference, cutoffs) = Reference::read();
    let longest = cutoffs.longest() as usize;
    assert_eq!(
        (reference.longest, reference.lists.len(), cutoffs.to_string()),
        (longest, 200, "1,3,5,10,20,30".into())
    );
    let shorter = reference.users().filter(|(list, _)| list.len() < longest);
    let many = reference.users().filter(|(_, relevant)| relevant.len() > longest);
    let no_hit = reference.users().filter(|(list, relevant)| !list.iter().any(|id| relevant.contains(id)));
    assert!(shorter.count() > 10 && many.count() > 10 && no_hit.count() > 10);
}

#[test]
fn metrics_of_users_are_those_of_ranx_and_of_recbole() {
    let (reference, cutoffs) = Reference::read();
    let metrics = Metrics::mean(&cutoffs, reference.users());
    assert_eq!(metrics.users, 200);
    for cutoff in cutoffs.iter() {
        for (name, ours) in AtCutoff::NAMES.into_iter().zip(metrics.at(cutoff).values()) {
            assert_close(name, cutoff, ours, &reference.recbole);
            if name != "map" {
                assert_close(name, cutoff, ours, &reference.ranx);
            }
        }
        // ranx divides a user's average precision by all relevant items, where RecBole and we divide by those that
        // have a place.
        let of_ranx = reference.users().map(|user| {
            let (places, relevant) = (user.1.len().min(cutoff as usize) as f64, user.1.len() as f64);
            Metrics::mean(&cutoffs, [user]).at(cutoff).map * places / relevant
        });
        assert_close("map", cutoff, of_ranx.sum::<f64>() / 200.0, &reference.ranx);
    }
}

#[test]
fn metrics_of_the_catalogue_are_those_of_recbole() {
    let (reference, cutoffs) = Reference::read();
    // Of lists that are shorter it knows nothing.
    let lists = reference.lists.iter().map(Vec::as_slice).filter(|list| list.len() == reference.longest);
    let metrics = CatalogueMetrics::of(&cutoffs, lists, reference.items, &reference.popularity).unwrap();
    for cutoff in cutoffs.iter() {
        for (name, ours) in CatalogueAtCutoff::NAMES.into_iter().zip(metrics.at(cutoff).values()) {
            assert_close(name, cutoff, ours, &reference.recbole);
        }
    }
}
