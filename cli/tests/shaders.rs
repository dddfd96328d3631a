//! The folder that `scall shaders` writes: its manifest says of every file what the file itself does, and
//! programs that know nothing but the folder run the shaders from Python and compile them with Dawn.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, ScalarKind, StorageAccess, TypeInner};
use serde_json::{Value, json};

fn shaders(out: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scall")).args(["shaders", "--out", out]).output().unwrap()
}

fn written() -> (tempfile::TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new");
    let output = shaders(out.to_str().unwrap());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let manifest = serde_json::from_slice(&std::fs::read(out.join("manifest.json")).unwrap()).unwrap();
    (folder, manifest)
}

/// What naga reads in a file, as the manifest has it; the defaults of constants are left to the test below.
fn reflected(wgsl: &str) -> Value {
    let module = naga::front::wgsl::parse_str(wgsl).unwrap_or_else(|error| panic!("{}", error.emit_to_string(wgsl)));
    let info = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(wgsl)));
    let spelled = |ty| spelled(&module, ty);
    let entry_points = module.entry_points.iter().enumerate().map(|(index, point)| {
        let uses = info.get_entry_point(index);
        let mut bindings: Vec<Value> = Vec::new();
        for (handle, variable) in module.global_variables.iter() {
            let (false, Some(at)) = (uses[handle].is_empty(), &variable.binding) else { continue };
            let buffer_use = match variable.space {
                AddressSpace::Uniform => "uniform",
                AddressSpace::Storage { access } if access == StorageAccess::LOAD => "read-only-storage",
                AddressSpace::Storage { .. } => "storage",
                other => panic!("{other:?}"),
            };
            bindings.push(json!({
                "group": at.group,
                "binding": at.binding,
                "name": variable.name,
                "use": buffer_use,
                "type": spelled(variable.ty),
            }));
        }
        bindings.sort_by_key(|binding| binding["binding"].as_u64());
        json!({"name": point.name, "workgroup_size": point.workgroup_size, "bindings": bindings})
    });
    let (_, params) = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some("Params")).unwrap();
    let TypeInner::Struct { members, span } = &params.inner else { panic!("Params is no struct") };
    let fields = members
        .iter()
        .map(|member| json!({"name": member.name, "type": spelled(member.ty), "offset_bytes": member.offset}));
    let constants = module.overrides.iter().map(|(_, of)| json!({"name": of.name, "type": spelled(of.ty)}));
    json!({
        "entry_points": entry_points.collect::<Vec<_>>(),
        "params": {"bytes": span, "fields": fields.collect::<Vec<_>>()},
        "constants": constants.collect::<Vec<_>>(),
    })
}

/// A type as WGSL spells it.
fn spelled(module: &naga::Module, ty: naga::Handle<naga::Type>) -> String {
    let of = |scalar: &naga::Scalar| match (scalar.kind, scalar.width) {
        (ScalarKind::Uint, 4) => "u32",
        (ScalarKind::Sint, 4) => "i32",
        (ScalarKind::Float, 4) => "f32",
        _ => panic!("{scalar:?}"),
    };
    match &module.types[ty].inner {
        TypeInner::Struct { .. } => module.types[ty].name.clone().unwrap(),
        TypeInner::Array { base, .. } => format!("array<{}>", spelled(module, *base)),
        TypeInner::Scalar(scalar) => of(scalar).to_owned(),
        TypeInner::Atomic(scalar) => format!("atomic<{}>", of(scalar)),
        TypeInner::Vector { size, scalar } => format!("vec{}<{}>", *size as u8, of(scalar)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_manifest_says_what_the_files_do() {
    let (folder, manifest) = written();
    let root = folder.path().join("new");
    let shaders = manifest["shaders"].as_array().unwrap();
    for shader in shaders {
        let file = shader["file"].as_str().unwrap();
        let wgsl = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(!wgsl.contains("//import") && !wgsl.contains("//codec"), "{file} is not whole");
        let mut want = reflected(&wgsl);
        for key in ["entry_points", "params"] {
            assert_eq!(shader[key], want[key], "{file}: {key}");
        }
        let mut constants = shader["constants"].clone();
        for constant in constants.as_array_mut().unwrap() {
            assert_default(&wgsl, constant);
            let constant = constant.as_object_mut().unwrap();
            constant.retain(|key, _| !["default", "derived"].contains(&key.as_str()));
        }
        assert_eq!(constants, want["constants"].take(), "{file}: constants");
    }
    // No file that the manifest does not know.
    let named: BTreeSet<String> = shaders.iter().map(|shader| shader["file"].as_str().unwrap().to_owned()).collect();
    assert_eq!(named.len(), shaders.len());
    let others = ["manifest.json", "normal_table.json"].map(str::to_owned);
    assert_eq!(files_below(&root), named.into_iter().chain(others).collect());
}

/// The line that declares it says the same number, or one that is computed.
fn assert_default(wgsl: &str, constant: &Value) {
    let (name, of) = (constant["name"].as_str().unwrap(), constant["type"].as_str().unwrap());
    let begin = format!("override {name}: {of} = ");
    let line = wgsl.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("no line {begin:?}"));
    let (text, _) = line[begin.len()..].split_once(';').unwrap();
    let literal = text.trim_end_matches('u').parse::<f64>();
    assert_eq!(constant["derived"], json!(literal.is_err()), "{line}");
    if let Ok(literal) = literal {
        assert_eq!(constant["default"], json!(literal), "{line}");
    }
}

/// By their paths below a folder.
fn files_below(root: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let parts = path.strip_prefix(root).unwrap().iter().map(|part| part.to_str().unwrap());
                    files.insert(parts.collect::<Vec<_>>().join("/"));
                }
            }
        }
    }
    files
}

#[test]
fn the_normal_table_is_there_for_who_binds_it() {
    let (folder, manifest) = written();
    let file = folder.path().join("new").join(manifest["normal_table"].as_str().unwrap());
    let quantiles: Vec<i32> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    // Upper-tail quantiles with 20 bits after the point, from the farthest to the median.
    assert!(quantiles.windows(2).all(|pair| pair[0] >= pair[1]));
    assert_eq!(*quantiles.last().unwrap(), 0);
    assert!(quantiles[0] > 6 << 20);
    let shaders = manifest["shaders"].as_array().unwrap();
    let binds = |shader: &&Value| shader.to_string().contains("\"normal_table\"");
    assert!(shaders.iter().filter(binds).count() >= 3);
}

#[test]
fn nothing_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.txt"), "mine").unwrap();
    let path = folder.path().to_str().unwrap();
    let output = shaders(path);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(path) && said.contains("an empty folder"), "{said}");
    assert_eq!(files_below(folder.path()), BTreeSet::from(["mine.txt".to_owned()]));
}

/// Words for a person, not by a macro, whose output the test harness keeps to itself.
fn say(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// Runs one of the programs of `tests/portability` on a folder of shaders. None, and words for a person, where the
/// program says by exit code 3 that something it needs is not there.
fn outside(program: &str, script: &str, arguments: &[&str]) -> Option<Output> {
    let (folder, _manifest) = written();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/portability").join(script);
    let output = Command::new(program).arg(script).arg(folder.path().join("new")).args(arguments).output().unwrap();
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    match output.status.code() {
        Some(0) => Some(output),
        Some(3) => {
            say(&format!("**** NOT RUN: {program} on the written shaders: {said} ****"));
            None
        }
        code => panic!("{program} on the written shaders ends with {code:?}:\n{said}"),
    }
}

#[test]
fn python_runs_the_written_shaders() {
    let mode = std::env::var("SCALL_GPU").unwrap_or_default();
    if mode == "off" {
        return;
    }
    let has_wgpu = Command::new("python3").args(["-c", "import wgpu"]).output();
    if !has_wgpu.is_ok_and(|output| output.status.success()) {
        say("**** NOT RUN: the written shaders from Python need python3 with the package wgpu. ****");
        return;
    }
    let Some(output) = outside("python3", "run.py", &[]) else {
        assert_ne!(mode, "required", "SCALL_GPU=required: Python finds no adapter");
        return;
    };
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("prim/scan: ") && said.contains("table/lookup.f16: "), "{said}");
}

#[test]
fn dawn_compiles_the_written_shaders() {
    let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/dawn/node_modules");
    let has_node = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    if !has_node || !Path::new(modules).join("webgpu").exists() {
        say("**** NOT RUN: Dawn on the written shaders needs node and `npm install --prefix target/dawn webgpu`. ****");
        return;
    }
    let Some(output) = outside("node", "compile.mjs", &[modules]) else { return };
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(" pipelines by Dawn, 0 refused"), "{said}");
}
