//! What there is to look at: one page, served by `scall serve` and written by `scall stream --html`.

use scall_gpu::Scall;
use scall_gpu::run::Config;
use serde_json::{Value, json};

use crate::common::Words;
use crate::stream::{Against, Profile, Segment};

const PAGE: &str = include_str!("page.html");

/// The line of the page that holds what a file shows. Served, it asks the service.
const PLACE: &str = "const written = null;";

/// What the page shows of a run.
pub fn state(config: &Config, scall: &Scall, profiles: &[Profile]) -> Value {
    let settings = Words::of(config).map_or_else(|_| Vec::new(), |words| words.settings());
    let segments: Vec<_> = scall.report().iter().map(Segment::from).collect();
    let (tables, data) = (scall.model().embeddings(), scall.data());
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "device": tables.device().describe(),
        "model": config.model.name,
        "policy": config.policy.name,
        "budget": config.budget.amount.to_string(),
        "max_size": config.budget.max_size,
        "seed": config.seed,
        "settings": settings.iter().map(|(name, value)| json!([name, value])).collect::<Value>(),
        "rows": data.len(),
        "users": data.user_count(),
        "items": data.item_count(),
        "table_bytes": tables.memory().total_bytes(),
        "segments": segments,
        "profiles": profiles.iter().map(Profile::json).collect::<Value>(),
    })
}

/// The page that asks a service.
#[cfg(feature = "serve")]
pub fn served() -> &'static str {
    PAGE
}

/// The page as a file of its own, with a run in it and what it is compared with.
pub fn written(mut state: Value, data: &str, against: &[Against]) -> String {
    state["data"] = data.into();
    state["against"] = serde_json::to_value(against).expect("numbers and strings only");
    // What stands in a name must not end the script.
    let text = state.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    assert!(PAGE.contains(PLACE), "the page has a place for what is written");
    PAGE.replacen(PLACE, &format!("const written = {text};"), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_the_script() {
        let page = written(json!({"model": "</script><b>", "settings": [["x", "</script>"]]}), "a<b", &[]);
        assert_eq!(page.matches("</script>").count(), PAGE.matches("</script>").count());
        assert!(page.contains(r#""data":"a\u003cb""#), "{page}");
        assert!(!page.contains(PLACE));
    }
}
