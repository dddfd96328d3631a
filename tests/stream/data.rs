//! The figures that accompany real data sets, where these are at hand.

use std::fs::File;
use std::path::Path;

use super::recorded::recorded;
use scall_gpu::stream::{Cut, Interactions, ReadOptions, cut, read, read_from};

struct Figures {
    rows: usize,
    times: (i64, i64),
    /// Users and items seen at the end of each tenth.
    users: [u32; 10],
    items: [u32; 10],
}

fn check(data: &Interactions, figures: &Figures) {
    assert_eq!(data.len(), figures.rows);
    assert_eq!((data.timestamps()[0], data.timestamps()[figures.rows - 1]), figures.times);
    let tenths = cut(data, Cut::Equal { segments: 10 }).unwrap();
    let ends = tenths.iter().map(|tenth| tenth.rows.end);
    assert_eq!(ends.clone().map(|end| data.users_seen(end)).collect::<Vec<_>>(), figures.users);
    assert_eq!(ends.map(|end| data.items_seen(end)).collect::<Vec<_>>(), figures.items);
}

/// Checks a recorded data set, if it is at hand.
fn check_recorded(name: &str, figures: &Figures) -> Option<Interactions> {
    let path = recorded(name)?;
    let data = read(&path, ReadOptions::default()).unwrap();
    check(&data, figures);
    Some(data)
}

#[test]
fn movietweetings() {
    let figures = Figures {
        rows: 100_000,
        times: (1_362_062_307, 1_378_067_265),
        users: [3794, 5788, 7474, 9063, 10455, 11834, 12973, 14178, 15031, 16554],
        items: [3096, 4730, 5970, 6798, 7505, 8136, 8794, 9417, 9925, 10506],
    };
    let Some(data) = check_recorded("movietweetings-100k/ratings.dat", &figures) else { return };
    let longest = data.user_names().iter().map(str::len).max();
    assert_eq!(longest, Some(5));
}

#[test]
fn online_retail() {
    let figures = Figures {
        rows: 266_226,
        times: (1_291_191_960, 1_323_435_000),
        users: [949, 1585, 2171, 2623, 2987, 3280, 3587, 3892, 4151, 4335],
        items: [2463, 2740, 2882, 3090, 3273, 3379, 3493, 3597, 3631, 3659],
    };
    check_recorded("online-retail/interactions.csv", &figures);
}

#[test]
fn embedded_sample() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/completejourney.csv.zst");
    let unpacked = zstd::Decoder::new(File::open(&path).unwrap()).unwrap();
    let data = read_from(unpacked, &path, ReadOptions::default()).unwrap();
    check(
        &data,
        &Figures {
            rows: 247_472,
            times: (1_483_271_606, 1_514_779_280),
            users: [1444, 1700, 1830, 1905, 1953, 1983, 2007, 2032, 2044, 2057],
            items: [1984, 2356, 2631, 2888, 3071, 3214, 3375, 3554, 3738, 3909],
        },
    );
}
