//! Portability tests: every text that a pipeline can be built from is valid, and naga writes it for DX12 and for Metal.
//!
//! Vulkan is what the other tests run on. Neither a Direct3D nor a Metal compiler reads the result here: what is tested
//! is that no shader uses anything that naga cannot express for them.

use naga::back::{PipelineConstants, hlsl, msl, pipeline_constants::process_overrides};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::ModuleInfo;
use naga::{Module, ResourceBinding, ShaderStage};

use super::variants::{parse, variants};
use crate::device::shader::Dialect;

/// The values of each `override` that kernels build pipelines with; of counts the least, the largest and one between.
const VALUES: &[(&str, &[f64])] = &[
    ("aligned", &[0.0, 1.0]),
    ("chunk", &[32.0, 64.0, 128.0, 1024.0]),
    ("clamps", &[0.0, 1.0]),
    ("clip", &[0.0, 1.0]),
    ("counted", &[0.0, 1.0]),
    ("counts", &[0.0, 1.0]),
    ("decay", &[0.0, 1.0, 2.0]),
    ("few", &[0.0, 1.0]),
    ("fours", &[2.0, 4.0]),
    ("item_gathered", &[0.0, 1.0]),
    ("items", &[16.0]),
    ("kind", &[0.0, 1.0, 2.0, 3.0, 4.0]),
    ("lanes", &[1.0, 8.0, 256.0]),
    ("most", &[1.0, 8.0]),
    ("operation", &[0.0, 1.0, 2.0, 3.0]),
    ("optimizer", &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]),
    ("ragged", &[0.0, 1.0]),
    ("source", &[0.0, 1.0, 2.0]),
    ("state_per_row", &[0.0, 1.0]),
    ("state_per_value", &[0.0, 1.0, 2.0]),
    ("user_gathered", &[0.0, 1.0]),
];

/// The constants that an entry point reads, by name: those that are left where nothing but it is. One that is computed
/// from others is not set.
pub(super) fn overrides_of(module: &Module, entry: usize) -> Vec<String> {
    let mut alone = module.clone();
    alone.entry_points = vec![module.entry_points[entry].clone()];
    naga::compact::compact(&mut alone, naga::compact::KeepUnused::No);
    let is_set = |of: &naga::Override| {
        of.init.is_none_or(|init| matches!(alone.global_expressions[init], naga::Expression::Literal(_)))
    };
    let set = alone.overrides.iter().filter(|(_, of)| is_set(of));
    let mut names: Vec<String> = set.map(|(_, of)| of.name.clone().expect("overrides have names")).collect();
    names.sort_unstable();
    names
}

/// Constants to build an entry point with: all combinations of those it takes where these are few. Else each constant
/// takes each of its values while the others keep their first: an override is a number to naga, which writes all
/// branches whatever it is, so that no combination brings a statement that was not seen.
fn constants_of(name: &str, module: &Module, entry: usize) -> Vec<PipelineConstants> {
    let takes: Vec<(String, &[f64])> = overrides_of(module, entry)
        .into_iter()
        .map(|own| {
            let (_, values) = VALUES.iter().find(|(known, _)| *known == own).unwrap_or_else(|| {
                panic!("{name}: say in VALUES what pipelines are built with for the override {own}")
            });
            (own, *values)
        })
        .collect();
    let first: PipelineConstants = takes.iter().map(|(own, values)| (own.clone(), values[0])).collect();
    let with = |base: &PipelineConstants, own: &str, value: f64| {
        let mut constants = base.clone();
        constants.insert(own.to_owned(), value);
        constants
    };
    if takes.iter().map(|(_, values)| values.len()).product::<usize>() > 64 {
        let varied = takes.iter().flat_map(|(own, values)| values[1..].iter().map(|&value| with(&first, own, value)));
        return std::iter::once(first.clone()).chain(varied).collect();
    }
    takes.iter().fold(vec![first], |all, (own, values)| {
        all.iter().flat_map(|base| values.iter().map(|&value| with(base, own, value))).collect()
    })
}

/// As wgpu's DX12 backend has it written.
fn write_hlsl(module: &Module, info: &ModuleInfo, entry: &str, dialect: Dialect) -> Result<String, String> {
    let target = |register| hlsl::BindTarget { register, restrict_indexing: true, ..Default::default() };
    let options = hlsl::Options {
        // 64-bit integers came with 6.0.
        shader_model: if dialect.wide_integers { hlsl::ShaderModel::V6_0 } else { hlsl::ShaderModel::V5_1 },
        binding_map: bound(module).map(|binding| (binding, target(binding.binding))).collect(),
        fake_missing_bindings: false,
        immediates_target: Some(hlsl::BindTarget { space: 1, ..target(0) }),
        ..hlsl::Options::default()
    };
    let pipeline = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, entry.to_owned())) };
    let mut text = String::new();
    let mut writer = hlsl::Writer::new(&mut text, &options, &pipeline);
    let names = writer.write(module, info, None).map_err(|error| error.to_string())?.entry_point_names;
    names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    Ok(text)
}

/// As wgpu's Metal backend has it written.
fn write_msl(module: &Module, info: &ModuleInfo, entry: &str, dialect: Dialect) -> Result<String, String> {
    let slot = |binding: ResourceBinding| binding.binding as msl::Slot;
    let resources = msl::EntryPointResources {
        resources: bound(module)
            .map(|binding| {
                (binding, msl::BindTarget { buffer: Some(slot(binding)), mutable: true, ..Default::default() })
            })
            .collect(),
        immediates_buffer: Some(29),
        sizes_buffer: Some(30),
    };
    let checked = BoundsCheckPolicy::Restrict;
    let options = msl::Options {
        // 64-bit integers came with 2.3.
        lang_version: if dialect.wide_integers { (2, 3) } else { (2, 0) },
        per_entry_point_map: msl::EntryPointResourceMap::from([(entry.to_owned(), resources)]),
        fake_missing_bindings: false,
        bounds_check_policies: BoundsCheckPolicies { index: checked, buffer: checked, ..Default::default() },
        ..msl::Options::default()
    };
    let pipeline = msl::PipelineOptions {
        entry_point: Some((ShaderStage::Compute, entry.to_owned())),
        ..msl::PipelineOptions::default()
    };
    let (text, translated) = msl::write_string(module, info, &options, &pipeline).map_err(|error| error.to_string())?;
    let names = translated.entry_point_names;
    names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    Ok(text)
}

fn bound(module: &Module) -> impl Iterator<Item = ResourceBinding> {
    module.global_variables.iter().filter_map(|(_, variable)| variable.binding)
}

#[test]
fn every_pipeline_can_be_written_for_dx12_and_metal() {
    let mut pipelines = 0;
    for variant in variants(&Dialect::ALL) {
        let (module, info) = variant.parsed();
        for (index, point) in module.entry_points.iter().enumerate() {
            let (name, entry) = (&variant.name, &point.name);
            for constants in constants_of(name, &module, index) {
                let at = || format!("{name}/{entry} with {constants:?}");
                let stage = Some((ShaderStage::Compute, entry.as_str()));
                let (module, info) = process_overrides(&module, &info, stage, &constants)
                    .unwrap_or_else(|error| panic!("{}: {error}", at()));
                let hlsl = write_hlsl(&module, &info, entry, variant.dialect)
                    .unwrap_or_else(|error| panic!("{} as HLSL: {error}", at()));
                assert!(hlsl.contains("[numthreads("), "{} as HLSL:\n{hlsl}", at());
                let msl = write_msl(&module, &info, entry, variant.dialect)
                    .unwrap_or_else(|error| panic!("{} as MSL: {error}", at()));
                assert!(msl.contains("kernel void "), "{} as MSL:\n{msl}", at());
                pipelines += 1;
            }
        }
    }
    assert!(pipelines > 200, "only {pipelines} pipelines");
}

#[test]
fn a_text_uses_no_more_than_its_dialect_has() {
    let mut refused = [0; 2];
    for variant in variants(&Dialect::ALL) {
        let Dialect { immediates, wide_integers } = variant.dialect;
        for (index, own, less) in [
            (0, immediates, Dialect { immediates: false, wide_integers }),
            (1, wide_integers, Dialect { immediates, wide_integers: false }),
        ] {
            // What a device has decides: the text is refused exactly where it needs more.
            assert_eq!(parse(&variant.text, less).is_err(), own, "{} with {less:?}", variant.name);
            refused[index] += u32::from(own);
        }
    }
    assert!(refused.iter().all(|count| *count > 0), "{refused:?}");
}
