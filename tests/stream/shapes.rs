//! Files in the exact shape of each public data set that `docs/data.md` names, made up and tiny.

use scall_gpu::stream::{Column, Columns, Dedup, Format, ReadOptions, TimeUnit, read};

use crate::{positions, rows, with_columns};

/// Writes a file under its name, and checks its rows.
#[track_caller]
fn check(name: &str, file: impl AsRef<[u8]>, options: impl Into<ReadOptions>, expected: &[(&str, &str, i64)]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, file).unwrap();
    let data = read(&path, options).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(rows(&data), expected);
}

fn usual() -> ReadOptions {
    ReadOptions::default()
}

#[test]
fn movielens() {
    let expected = [("186", "302", 891_717_742), ("22", "377", 891_717_887)];
    check("u.data", "186\t302\t3\t891717742\n22\t377\t1\t891717887\n", usual(), &expected);
    check("ratings.dat", "186::302::3::891717742\n22::377::1::891717887\n", usual(), &expected);
    let file = "userId,movieId,rating,timestamp\n186,302,3.0,891717742\n22,377,1.5,891717887\n";
    check("ratings.csv", file, usual(), &expected);
    check("ratings.csv", file, ReadOptions { min_rating: Some(3.0), ..usual() }, &expected[..1]);
}

#[test]
fn amazon() {
    let reviews = concat!(
        r#"{"rating": 5.0, "title": "Such a \"lovely\" scent", "text": "This\nspray.", "images": [], "#,
        r#""asin": "B00YQ6X8EO", "parent_asin": "B00YQ6X8XX", "user_id": "AGKHLEW2", "timestamp": 1588687728923, "#,
        r#""helpful_vote": 0, "verified_purchase": true}"#,
        "\n",
        r#"{"rating": 2.0, "title": "", "text": "", "images": [], "asin": "B081TJ8YS3", "parent_asin": "B081TJ8YS3", "#,
        r#""user_id": "AGKHLEW3", "timestamp": 1588615855070, "helpful_vote": 1, "verified_purchase": false}"#,
        "\n",
    );
    let expected = [("AGKHLEW3", "B081TJ8YS3", 1_588_615_855), ("AGKHLEW2", "B00YQ6X8XX", 1_588_687_728)];
    check("All_Beauty.jsonl", reviews, usual(), &expected);
    let bought = ReadOptions { filters: vec!["verified_purchase=true".parse().unwrap()], ..usual() };
    check("All_Beauty.jsonl", reviews, bought, &expected[1..]);
    let csv = "user_id,parent_asin,rating,timestamp\nAGKHLEW2,B00YQ6X8XX,5.0,1588687728923\n";
    check("All_Beauty.csv", csv, usual(), &expected[1..]);
    let old = concat!(
        r#"{"reviewerID": "A2SUAM1J", "asin": "0000013714", "reviewerName": "J. McDonald", "helpful": [2, 3], "#,
        r#""reviewText": "I bought this", "overall": 5.0, "summary": "Heavenly", "unixReviewTime": 1252800000, "#,
        r#""reviewTime": "09 13, 2009"}"#,
        "\n",
    );
    let four = ReadOptions { min_rating: Some(4.0), ..usual() };
    check("reviews_Musical_Instruments_5.json", old, four, &[("A2SUAM1J", "0000013714", 1_252_800_000)]);
    let ratings = "A2SUAM1J,0000013714,5.0,1252800000\n";
    let options = with_columns(Format::Csv, positions(0, 1, 3));
    check("ratings_Beauty.csv", ratings, options, &[("A2SUAM1J", "0000013714", 1_252_800_000)]);
}

#[cfg(feature = "files")]
#[test]
fn yelp() {
    let file = concat!(
        r#"{"review_id":"KU_O5udG6z","user_id":"mh_-eMZ6K5","business_id":"XQfwVwDr-v","stars":3.0,"useful":0,"#,
        r#""funny":0,"cool":0,"text":"If you decide to eat here","date":"2018-07-07 22:09:11"}"#,
        "\n",
    );
    check("yelp_academic_dataset_review.json", file, usual(), &[("mh_-eMZ6K5", "XQfwVwDr-v", 1_531_001_351)]);
}

#[cfg(feature = "files")]
#[test]
fn steam() {
    let file = "app_id,helpful,funny,date,is_recommended,hours,user_id,review_id\n\
                975370,0,0,2022-12-12,true,36.3,51580,0\n304390,4,0,2017-02-17,false,11.5,2586,1\n";
    let liked = ReadOptions { filters: vec!["is_recommended=true".parse().unwrap()], ..usual() };
    check("recommendations.csv", file, liked, &[("51580", "975370", 1_670_803_200)]);
    // The reviews of McAuley's group, once they are JSON.
    let file = "{\"username\": \"Chaos Syren\", \"hours\": 0.1, \"products\": 41, \"product_id\": \"725280\", \
                \"page_order\": 0, \"date\": \"2017-12-17\", \"text\": \"x\", \"early_access\": false, \"page\": 1}\n";
    check("steam.json", file, usual(), &[("Chaos Syren", "725280", 1_513_468_800)]);
}

#[cfg(feature = "files")]
#[test]
fn gowalla() {
    let file = "0\t2010-10-19T23:55:27Z\t30.2359091167\t-97.7951395833\t22847\n\
                0\t2010-10-18T22:17:43Z\t30.2691029532\t-97.7493953705\t420315\n";
    let expected = [("0", "420315", 1_287_440_263), ("0", "22847", 1_287_532_527)];
    let options = with_columns(Format::Tsv, positions(0, 4, 1));
    check("loc-gowalla_totalCheckins.txt", file, options, &expected);
}

#[cfg(feature = "files")]
#[test]
fn lastfm() {
    let file = "user_000001\t2009-05-04T23:08:57Z\tf1b1cf71-bd35\tDeep Dish\t\tFamous (Pacha)\n\
                user_000001\t2009-05-04T13:54:10Z\ta7f7df4a-77d8\tUnderworld\tdc394163\tBorn Slippy\n";
    let expected = [("user_000001", "Underworld", 1_241_445_250), ("user_000001", "Deep Dish", 1_241_478_537)];
    let options = with_columns(Format::Tsv, positions(0, 3, 1));
    check("userid-timestamp-artid-artname-traid-traname.tsv", file, options, &expected);
    // HetRec 2011, and LFM-2b.
    let file = "userID\tartistID\ttagID\ttimestamp\n2\t52\t13\t1238536800000\n2\t52\t15\t1238536800000\n";
    let options = ReadOptions { dedup: Dedup::First, ..Format::Tsv.into() };
    check("user_taggedartists-timestamps.dat", file, options, &[("2", "52", 1_238_536_800)]);
    let file = "user_id\ttrack_id\talbum_id\ttimestamp\n15\t1\t24\t2020-01-01 00:00:05\n";
    let packed = super::packed::packed(file.as_bytes(), "bzip2");
    check("listening_events.tsv.bz2", packed, usual(), &[("15", "1", 1_577_836_805)]);
}

#[test]
fn retailrocket() {
    let file = "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n\
                1433224214164,992329,transaction,248676,4000\n";
    let expected = [("257597", "355908", 1_433_221_332), ("992329", "248676", 1_433_224_214)];
    check("events.csv", file, usual(), &expected);
    let bought = ReadOptions { filters: vec!["event=transaction".parse().unwrap()], ..usual() };
    check("events.csv", file, bought, &expected[1..]);
}

#[test]
fn kuairand() {
    let file = "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,\
                long_view,play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab\n\
                0,4138,20220421,2200,1650549694519,1,0,0,0,0,0,0,7007,27966,0,0,0,0,0\n\
                0,3784,20220421,2200,1650549676018,0,0,0,0,0,0,0,0,8700,0,0,0,0,0\n";
    let clicks = ReadOptions { filters: vec!["is_click=1".parse().unwrap()], ..usual() };
    check("log_standard_4_08_to_4_21_pure.csv", file, clicks, &[("0", "4138", 1_650_549_694)]);
}

#[cfg(feature = "files")]
#[test]
fn h_and_m() {
    let file = "t_dat,customer_id,article_id,price,sales_channel_id\n\
                2018-09-20,000058a12d5b,0663713001,0.050830508,2\n";
    check("transactions_train.csv", file, usual(), &[("000058a12d5b", "0663713001", 1_537_401_600)]);
}

#[test]
fn recbole() {
    let file = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n";
    check("ml-100k.inter", file, usual(), &[("196", "242", 881_250_949)]);
}

#[test]
fn taobao() {
    let file = "1,2268318,2520377,pv,1511544070\n1,2333346,2520771,buy,1511561733\n";
    let options =
        ReadOptions { filters: vec!["3=buy".parse().unwrap()], ..with_columns(Format::Csv, positions(0, 1, 4)) };
    check("UserBehavior.csv", file, options, &[("1", "2333346", 1_511_561_733)]);
}

/// Times of Yambda count in fives of seconds since its own beginning, so their order is all that they say.
#[test]
fn yambda_as_csv() {
    let file = "uid,timestamp,item_id,is_organic,played_ratio_pct,track_length_seconds\n100,39420,8326270,0,95,170\n";
    let organic = ReadOptions { time_unit: TimeUnit::Seconds, ..usual() };
    check("listens.csv", file, organic, &[("100", "8326270", 39_420)]);
}

#[test]
fn event_logs() {
    let name = |name: &str| Column::Name(name.into());
    let columns = Columns { user: name("user.id"), item: name("item.id"), timestamp: name("ts"), ..Columns::default() };
    let file = "{\"ts\": 1700000000, \"user\": {\"id\": 7}, \"item\": {\"id\": \"tea\"}}\n";
    check("log.jsonl", file, with_columns(Format::Json, columns), &[("7", "tea", 1_700_000_000)]);
}
