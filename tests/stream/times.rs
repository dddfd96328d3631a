//! Times in every form.

use std::path::Path;

use scall_gpu::stream::{Format, ReadOptions, TimeUnit, read_all, read_from};

use crate::{csv, read_bytes};

/// The seconds of the rows of a file, or the error.
fn seconds(times: &[&str], time_unit: TimeUnit) -> Result<Vec<i64>, String> {
    let rows: String = times.iter().enumerate().map(|(k, time)| format!("u{k},i{k},{time}\n")).collect();
    let options = ReadOptions { time_unit, ..csv() };
    let data = read_from(format!("user,item,ts\n{rows}").as_bytes(), Path::new("f"), &options);
    data.map(|data| data.timestamps().to_vec()).map_err(|error| error.to_string())
}

#[track_caller]
fn check(times: &[&str], expected: &[i64]) {
    assert_eq!(seconds(times, TimeUnit::Auto).unwrap(), expected, "{times:?}");
}

#[test]
fn units_are_told_by_size() {
    check(&["0", " 253402300799 "], &[0, 253_402_300_799]);
    check(&["1362062307"], &[1_362_062_307]);
    check(&["253402300800"], &[253_402_300]);
    check(&["1362062307000", "1362062307999"], &[1_362_062_307, 1_362_062_307]);
    check(&["1362062307000000"], &[1_362_062_307]);
    check(&["1362062307000000000"], &[1_362_062_307]);
    check(&["1362062307123", "0"], &[0, 1_362_062_307]);
    check(&["1.5", "2.25e0", "1e3"], &[1, 2, 1000]);
    check(&["978300760.0"], &[978_300_760]);
    check(&["1588687728923.0"], &[1_588_687_728]);
}

#[test]
fn a_unit_that_is_said_wins() {
    assert_eq!(seconds(&["1500", "86400000"], TimeUnit::Millis).unwrap(), [1, 86_400]);
    assert_eq!(seconds(&["1500000", "0"], TimeUnit::Micros).unwrap(), [0, 1]);
    assert_eq!(seconds(&["2500000000"], TimeUnit::Nanos).unwrap(), [2]);
    assert_eq!(seconds(&["1.5"], TimeUnit::Seconds).unwrap(), [1]);
    for unit in TimeUnit::ALL {
        assert_eq!(unit.name().parse::<TimeUnit>().unwrap(), *unit);
    }
    let error = "min".parse::<TimeUnit>().unwrap_err().to_string();
    assert_eq!(error, "stream/time_unit: `name` must be s, ms, us, ns or auto, got \"min\"");
}

#[test]
fn parts_of_a_second_order_rows() {
    for times in [["1362062307900", "1362062307100"], ["7.9", "7.1"], ["1362062307900000", "1362062307100000"]] {
        let file = format!("user,item,ts\nlate,i,{}\nearly,i,{}\n", times[0], times[1]);
        let data = read_bytes(file, csv()).unwrap();
        assert_eq!(data.user_names().iter().collect::<Vec<_>>(), ["early", "late"], "{times:?}");
        assert_eq!(data.timestamps()[0], data.timestamps()[1]);
    }
}

#[cfg(feature = "files")]
#[test]
fn dates() {
    check(
        &["2018-07-07", "2018-07-07 22:09:11", "2018-07-08T00:00:00"],
        &[1_530_921_600, 1_531_001_351, 1_531_008_000],
    );
    check(&["2009-05-04T23:08:57Z"], &[1_241_478_537]);
    check(&["2009-05-05T01:08:57+02:00", "2009-05-04T23:08:57.999z"], &[1_241_478_537, 1_241_478_537]);
    check(&["2019-10-01 00:00:00 UTC"], &[1_569_888_000]);
    check(&["1970-01-01", "9999-12-31T23:59:59"], &[0, 253_402_300_799]);
    for wrong in ["1969-12-31", "2018-13-01", "2018-02-30", "07/07/2018", "2018-07-07T25:00:00Z", "yesterday"] {
        let error = seconds(&[wrong], TimeUnit::Auto).unwrap_err();
        assert!(error.starts_with("f:2: expected a time: a number of seconds, ") && error.contains(wrong), "{error}");
    }
}

#[test]
fn times_that_are_not_of_the_unit() {
    let error = |times: &[&str], unit| seconds(times, unit).unwrap_err();
    let expected = "a number from 0 to the year 9999";
    assert_eq!(
        error(&["5", "1362062307000"], TimeUnit::Auto),
        format!(
            "f:3: expected unix seconds, {expected}, as in the first row, found \"1362062307000\", which looks like \
             milliseconds; a unit can be given (--time-unit)"
        )
    );
    assert_eq!(
        error(&["1362062307000", "1362062307"], TimeUnit::Auto),
        format!(
            "f:3: expected unix milliseconds, {expected}, as in the first row, found \"1362062307\"; a unit can be \
             given (--time-unit)"
        )
    );
    assert_eq!(
        error(&["1362062307000"], TimeUnit::Seconds),
        format!(
            "f:2: expected unix seconds, {expected}, found \"1362062307000\", which looks like milliseconds; a unit \
             can be given (--time-unit)"
        )
    );
    for wrong in ["-1", "-0.5", "1e300", "nan", "inf", "", "soon", "12:30", "0x10", "99999999999999999999999"] {
        for unit in TimeUnit::ALL {
            let error = error(&[wrong], *unit);
            assert!(error.starts_with("f:2: expected ") && error.contains(&format!("found \"{wrong}\"")), "{error}");
        }
    }
    #[cfg(feature = "files")]
    {
        let error = error(&["2018-07-07", "1362062307"], TimeUnit::Auto);
        assert!(error.contains("f:3: expected a date from 1970 to the year 9999, as in the first row"), "{error}");
        for unit in [TimeUnit::Seconds, TimeUnit::Millis] {
            let error = seconds(&["2018-07-07"], unit).unwrap_err();
            assert!(error.contains(&format!("expected unix {}", unit.words())), "{error}");
        }
    }
}

#[test]
fn what_was_told_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (time, unit, expected) in [
        ("1362062307000", TimeUnit::Auto, "milliseconds (told by their size)"),
        ("1362062307000", TimeUnit::Millis, "milliseconds"),
        ("7", TimeUnit::Auto, "seconds (told by their size)"),
        #[cfg(feature = "files")]
        ("2018-07-07", TimeUnit::Auto, "dates"),
    ] {
        let path = folder.path().join("a.csv");
        std::fs::write(&path, format!("user,item,ts\na,b,{time}\n")).unwrap();
        let (_, report) = read_all(&[&path], ReadOptions { time_unit: unit, ..ReadOptions::default() }).unwrap();
        assert_eq!((report.times.as_str(), &report.formats[..]), (expected, &[Format::Csv][..]));
        assert_eq!(report.to_string(), format!("format csv, times in {expected}"));
    }
}
