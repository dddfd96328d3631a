use super::*;

#[test]
fn sorts_stably_and_numbers_by_appearance() {
    let rows = [("c", "z", 5), ("a", "x", 5), ("b", "x", 0), ("a", "y", 5), ("c", "x", 4)];
    let data = Interactions::from_rows(rows).unwrap();
    assert_eq!(data.timestamps(), [0, 4, 5, 5, 5]);
    assert_eq!(data.users(), [0, 1, 1, 2, 2]);
    assert_eq!(data.items(), [0, 0, 1, 0, 2]);
    assert_eq!(data.user_names().iter().collect::<Vec<_>>(), ["b", "c", "a"]);
    assert_eq!(data.item_names().iter().collect::<Vec<_>>(), ["x", "z", "y"]);
    assert_eq!((data.len(), data.user_count(), data.item_count()), (5, 3, 3));
    let seen: Vec<_> = (0..7).map(|row| (data.users_seen(row), data.items_seen(row))).collect();
    assert_eq!(seen, [(0, 0), (1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (3, 3)]);
    assert_eq!(data.pairs([4, 0]).collect::<Vec<_>>(), [(2, 2), (0, 0)]);
}

#[test]
fn rows_from_a_caller_are_checked_as_those_of_a_file() {
    let mut data = Interactions::default();
    data.push("ann", "tea", 7).unwrap();
    let before = data.clone();
    let hidden = |kind| format!("`{kind}` must be a {kind} id without characters that cannot be seen, got");
    let ends = |kind| format!("`{kind}` must be a {kind} id without space at its ends, got");
    let time = "`timestamp` must be unix seconds, a whole number from 0 to 253402300799 (year 9999), got";
    for (row, expected) in [
        (("", "tea", 7), "`user` must be a text as user id, got an empty field".into()),
        (("ann", "", 7), "`item` must be a text as item id, got an empty field".into()),
        (("ann ", "tea", 7), format!(r#"{} "ann ""#, ends("user"))),
        (("ann", "\u{feff}tea", 7), format!(r#"{} "\u{{feff}}tea""#, ends("item"))),
        (("a\u{200b}nn", "tea", 7), format!(r#"{} U+200B at offset 1 of "a\u{{200b}}nn""#, hidden("user"))),
        (("ann", "te\0a", 7), format!(r#"{} U+0000 at offset 2 of "te\0a""#, hidden("item"))),
        (("ann", "tea", -1), format!("{time} -1")),
        (("ann", "tea", 1_700_000_000_000), format!("{time} 1700000000000, which looks like milliseconds")),
    ] {
        let (user, item, timestamp) = row;
        assert_eq!(data.push(user, item, timestamp).unwrap_err().to_string(), format!("stream/push: {expected}"));
        assert_eq!(Interactions::from_rows([row]).unwrap_err().to_string(), format!("stream/from_rows: {expected}"));
    }
    assert_eq!(data, before);
}

#[test]
fn rows_a_little_late_are_taken_and_a_wrong_one_takes_none_with_it() {
    let mut data = Interactions::default();
    data.append([("a", "x", 100), ("b", "x", 40), ("c", "y", 99), ("a", "y", 160), ("a", "x", 100)], 60).unwrap();
    assert_eq!(data.timestamps(), [100, 100, 100, 160, 160]);
    assert_eq!((data.users(), data.items()), (&[0, 1, 2, 0, 0][..], &[0, 0, 1, 1, 0][..]));
    data.append([("a", "x", 0)], u32::MAX).unwrap();
    let before = data.clone();
    for (row, expected) in [
        (("d", "z", 99), "`timestamp` must be 100 or later, 60 seconds before the latest row, got 99"),
        (("", "z", 170), "`user` must be a text as user id, got an empty field"),
        (("d", "z", -1), "`timestamp` must be unix seconds, a whole number from 0 to 253402300799 (year 9999), got -1"),
    ] {
        let error = data.append([("d", "z", 160), row, ("e", "z", 170)], 60).unwrap_err().to_string();
        assert_eq!(error, format!("stream/append: {expected} in row 1 of 3; none of them was added"));
        assert_eq!(data, before);
    }
    // What counts is the latest row, also among those that are added together.
    assert!(data.append([("d", "z", 300), ("d", "z", 239)], 60).is_err());
    assert!(data.append([("d", "z", 161), ("d", "z", 160)], 0).is_err());
    assert!(data.append::<&str, &str>([], 0).is_ok() && data == before);
    data.append([("d", "z", 300), ("d", "z", 240)], 60).unwrap();
    assert_eq!(data.timestamps()[6..], [300, 300]);
}

#[test]
fn no_rows() {
    let data = Interactions::from_rows::<&str, &str>([]).unwrap();
    assert!(data.is_empty() && data.user_names().is_empty());
    assert_eq!((data.user_count(), data.items_seen(3)), (0, 0));
}
