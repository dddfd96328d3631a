//! Any text as a configuration: one that passes its checks, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scall_gpu::run::Config;

fuzz_target!(|text: &str| {
    for config in [Config::from_toml(text), Config::from_json(text)].into_iter().flatten() {
        if config.check().is_ok() {
            let json = config.to_json().expect("it passed its checks");
            assert_eq!(Config::from_json(&json).expect("it was written here"), config);
        }
    }
});
