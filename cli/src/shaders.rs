//! All shaders as files, for programs that run them without this library: WGSL without imports, and one manifest in
//! JSON that says how each is run.
//!
//! ```text
//! scall shaders --out DIR
//! ```
//!
//! `tests/portability` has a program in Python and one in JavaScript that do so.

use std::io;
use std::path::{Path, PathBuf};

use scall_gpu::kernels::manifest::{
    BufferBinding, EntryPoint, OverrideConstant, ParamField, ShaderText, TableFormat, normals, shaders,
};
use scall_gpu::text::printable;
use serde_json::{Value, json};

use crate::common::{Json, print, print_json};

/// Writes all shaders, and a manifest of them, to a folder.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The folder: a new one, or one that is empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    #[command(flatten)]
    json: Json,
}

/// What is bound where an entry point takes a `normal_table`: integers, on one line.
const NORMAL_TABLE: &str = "normal_table.json";

pub fn run(Args { out, json }: &Args) -> Result<(), String> {
    let json = json.asked();
    let count = write_all(out).map_err(|error| format!("--out {}: {error}", printable(out)))?;
    print(&format!("{count} shaders and manifest.json in {}", printable(out)));
    if json {
        print_json(&json!({"folder": printable(out), "shaders": count}));
    }
    Ok(())
}

fn write_all(out: &Path) -> io::Result<usize> {
    std::fs::create_dir_all(out)?;
    if std::fs::read_dir(out)?.next().is_some() {
        return Err(io::Error::other("expected a new or an empty folder, so that nothing is written over"));
    }
    let all = shaders();
    for shader in &all {
        let file = out.join(file_of(shader));
        std::fs::create_dir_all(file.parent().expect("a shader lies in the folder of its family"))?;
        std::fs::write(file, &shader.wgsl)?;
    }
    let manifest = json!({
        "library": concat!("scall-gpu ", env!("CARGO_PKG_VERSION")),
        "shaders": all.iter().map(described).collect::<Vec<_>>(),
        "normal_table": NORMAL_TABLE,
    });
    std::fs::write(out.join("manifest.json"), format!("{manifest:#}\n"))?;
    std::fs::write(out.join(NORMAL_TABLE), format!("{}\n", json!(normals())))?;
    Ok(all.len())
}

/// Below the folder.
fn file_of(shader: &ShaderText) -> String {
    format!("{}.wgsl", shader.variant)
}

fn described(shader: &ShaderText) -> Value {
    let table = |of: &TableFormat| json!({"table": of.table, "format": of.format.name()});
    json!({
        "name": shader.name,
        "variant": shader.variant,
        "file": file_of(shader),
        "tables": shader.tables.iter().map(table).collect::<Vec<_>>(),
        "params": {
            "bytes": shader.params_bytes(),
            "fields": shader.params.iter().map(field).collect::<Vec<_>>(),
        },
        "constants": shader.constants.iter().map(constant).collect::<Vec<_>>(),
        "entry_points": shader.entry_points.iter().map(entry_point).collect::<Vec<_>>(),
    })
}

fn field(of: &ParamField) -> Value {
    json!({"name": of.name, "type": of.scalar, "offset_bytes": of.offset_bytes})
}

fn constant(of: &OverrideConstant) -> Value {
    json!({"name": of.name, "type": of.scalar, "default": of.default, "derived": of.derived})
}

fn entry_point(of: &EntryPoint) -> Value {
    let bindings: Vec<_> = of.bindings.iter().map(binding).collect();
    json!({"name": of.name, "workgroup_size": of.workgroup_size, "bindings": bindings})
}

/// `use` is a `GPUBufferBindingType` of WebGPU.
fn binding(of: &BufferBinding) -> Value {
    json!({
        "group": of.group,
        "binding": of.binding,
        "name": of.name,
        "use": of.buffer_use.name(),
        "type": of.buffer_type,
    })
}
