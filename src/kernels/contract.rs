//! Contract tests: what Rust declares of a shader is what its WGSL says, read by naga.

use naga::{AddressSpace, ScalarKind, StorageAccess, TypeInner};

use super::SHADERS;
use super::portability::overrides_of;
use super::variants::variants_of;
use crate::device::shader::{Dialect, Field, MAX_PARAMS_BYTES, MAX_SHARED_BYTES, UNIFORM_PARAMS};
use crate::device::{Access, Shader};

/// Every text of a shader as naga reads it, with what WebGPU has without any feature.
fn parsed(shader: &'static Shader) -> Vec<(naga::Module, naga::valid::ModuleInfo)> {
    variants_of(shader, &[Dialect::default()]).iter().map(|variant| variant.parsed()).collect()
}

#[test]
fn entry_points_workgroups_and_bindings() {
    for (shader, (module, info)) in
        SHADERS.iter().flat_map(|shader| parsed(shader).into_iter().map(move |of| (shader, of)))
    {
        assert_eq!(module.entry_points.len(), shader.entries.len(), "{}: entry points", shader.name);
        for (index, point) in module.entry_points.iter().enumerate() {
            let entry = shader.entry(&point.name);
            assert_eq!(point.workgroup_size, [entry.workgroup, 1, 1], "{}/{}", shader.name, entry.name);
            // The most that every device allows.
            assert!(entry.workgroup <= 256);
            let uses = info.get_entry_point(index);
            let mut found: Vec<(u32, Access)> = module
                .global_variables
                .iter()
                .filter(|(handle, _)| !uses[*handle].is_empty())
                .filter_map(|(_, variable)| match variable.space {
                    AddressSpace::Storage { access } => {
                        let access = if access.contains(StorageAccess::STORE) { Access::Write } else { Access::Read };
                        Some((variable.binding.expect("a bound buffer").binding, access))
                    }
                    _ => None,
                })
                .collect();
            found.sort_by_key(|(binding, _)| *binding);
            assert_eq!(found, entry.bindings, "{}/{}: bindings", shader.name, entry.name);
            assert!(found.len() <= 8, "{}/{}: more than 8 storage buffers", shader.name, entry.name);
            let mut overrides = entry.overrides.to_vec();
            overrides.sort_unstable();
            assert_eq!(overrides_of(&module, index), overrides, "{}/{}: overrides", shader.name, entry.name);
            let shared: u32 = module
                .global_variables
                .iter()
                .filter(|(handle, v)| v.space == AddressSpace::WorkGroup && !uses[*handle].is_empty())
                .map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx()))
                .sum();
            assert!(shared <= MAX_SHARED_BYTES, "{}/{}: {shared} bytes shared", shader.name, entry.name);
        }
    }
}

#[test]
fn params_are_32_bit_scalars_in_order() {
    for (shader, (module, _)) in
        SHADERS.iter().flat_map(|shader| parsed(shader).into_iter().map(move |of| (shader, of)))
    {
        let (_, params) = module
            .types
            .iter()
            .find(|(_, ty)| ty.name.as_deref() == Some("Params"))
            .unwrap_or_else(|| panic!("{}: no struct Params", shader.name));
        let TypeInner::Struct { members, .. } = &params.inner else { panic!("{}: Params is no struct", shader.name) };
        let names: Vec<&str> = members.iter().map(|m| m.name.as_deref().unwrap_or("")).collect();
        let declared: Vec<String> = shader.params.iter().flat_map(Field::names).collect();
        assert_eq!(names, declared, "{}: fields of Params", shader.name);
        assert!(4 * names.len() as u32 <= MAX_PARAMS_BYTES, "{}: Params past what immediates hold", shader.name);
        let declarations = shader.source.matches(UNIFORM_PARAMS).count();
        assert_eq!(declarations, 1, "{}: Params are declared in the way that immediates replace", shader.name);
        for (i, member) in members.iter().enumerate() {
            assert_eq!(member.offset, 4 * i as u32, "{}: Params.{}", shader.name, names[i]);
            let TypeInner::Scalar(scalar) = module.types[member.ty].inner else {
                panic!("{}: Params.{} is no scalar", shader.name, names[i])
            };
            assert!(scalar.width == 4 && matches!(scalar.kind, ScalarKind::Uint | ScalarKind::Float));
        }
    }
}

#[test]
fn every_shader_file_is_declared_once() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let mut files = Vec::new();
    for family in std::fs::read_dir(root).unwrap() {
        let family = family.unwrap();
        if family.file_name() == "common" || family.file_name() == "rows" {
            continue;
        }
        for file in std::fs::read_dir(family.path()).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let stem = name.strip_suffix(".wgsl").expect("only WGSL under shaders/");
            files.push(format!("{}/{stem}", family.file_name().to_str().unwrap()));
        }
    }
    files.sort();
    let mut declared: Vec<_> = SHADERS.iter().map(|s| s.name.to_owned()).collect();
    declared.sort();
    assert_eq!(files, declared);
}
