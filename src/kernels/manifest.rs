//! The shaders as texts with a description of their interface, for programs that use them without this library.
//!
//! [`shaders`] gives the WGSL of every shader as one text without imports, in what every WebGPU implementation
//! understands, and with it all that a host needs to run it: entry points with their workgroup sizes and bindings, the
//! fields of `Params` with their offsets, and the `override` constants. A shader that reads tables has a text for each
//! format of their values. `cargo run --example shaders -- --out DIR` writes all of it to a folder, the descriptions as
//! JSON.
//!
//! What an entry point computes, and from which buffers and parameters, the documentation of its kernel says
//! ([`kernels`](super)). The kernel's `dispatch` in the source is the reference for the order of dispatches and for the
//! choice of constants. Two conventions hold for all:
//!
//! - Grids are one-dimensional. A grid of more than 65,535 workgroups is folded into two dimensions:
//!   `y = ceil(groups / 65535)` and `x = ceil(groups / y)`. Workgroups past the last one do nothing.
//! - An entry point binds what its [`bindings`](EntryPoint::bindings) list and nothing else, in bind group 0.
//!
//! # Numerics
//! The texts are those that the library itself builds pipelines from on a device without optional features, so a device
//! gives the same bits for both.
//!
//! # Cost
//! A call parses all texts, which takes some tens of milliseconds.
//!
//! # Example
//! ```
//! use scall_gpu::kernels::manifest::{BufferUse, shaders};
//!
//! let all = shaders();
//! let lookup = all.iter().find(|shader| shader.name == "table/lookup").unwrap();
//! let rows = lookup.entry_points.iter().find(|entry| entry.name == "rows").unwrap();
//! assert_eq!(rows.workgroup_size, [256, 1, 1]);
//! let output = rows.bindings.iter().find(|binding| binding.name == "output").unwrap();
//! assert_eq!((output.buffer_use, output.buffer_type.as_str()), (BufferUse::ReadWrite, "array<f32>"));
//! let dims = lookup.params.iter().find(|field| field.name == "dims").unwrap();
//! assert_eq!((dims.scalar.as_str(), dims.offset_bytes), ("u32", 28));
//! assert!(!lookup.wgsl.contains("//import"));
//! ```

use naga::valid::ModuleInfo;
use naga::{AddressSpace, BinaryOperator, Expression, Handle, Literal, Module, ScalarKind, StorageAccess, TypeInner};
use wgpu::naga;

use super::variants::{Variant, variants};
use crate::device::shader::Dialect;
use crate::rng::NORMAL_TABLE;
use crate::rows::Format;

/// A shader: one text, and how to run it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ShaderText {
    /// `family/kernel`, such as `table/lookup`.
    pub name: &'static str,
    /// The same with what sets this text apart from the shader's others, such as `table/lookup.f16`.
    pub variant: String,
    /// The tables whose rows it reads or writes, and how their values are stored in this text.
    pub tables: Vec<TableFormat>,
    /// WGSL without imports.
    pub wgsl: String,
    /// The fields of the uniform at binding 0, in order.
    pub params: Vec<ParamField>,
    /// The constants that a pipeline may be built with; those that are left out have their default.
    pub constants: Vec<OverrideConstant>,
    /// What can be dispatched.
    pub entry_points: Vec<EntryPoint>,
}

impl ShaderText {
    /// Bytes of the uniform at binding 0.
    pub fn params_bytes(&self) -> u32 {
        self.params.last().map_or(0, |last| last.offset_bytes + 4)
    }
}

/// How a table's values are stored in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableFormat {
    /// What the names of the table begin with in the text; `rows` where they begin with nothing.
    pub table: &'static str,
    /// What a value is stored as.
    pub format: Format,
}

/// A field of `Params`: a scalar of 4 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParamField {
    /// Its name in the text.
    pub name: String,
    /// `u32` or `f32`.
    pub scalar: String,
    /// Where it begins, from the begin of the uniform.
    pub offset_bytes: u32,
}

/// An `override` constant.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OverrideConstant {
    /// Its name in the text, and the key under which a pipeline sets it.
    pub name: String,
    /// `u32` or `f32`.
    pub scalar: String,
    /// Its value where the pipeline does not set it.
    pub default: f64,
    /// Whether it is computed from other constants. It is then left to the shader, and `default` follows from theirs.
    pub derived: bool,
}

/// A function that can be dispatched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryPoint {
    /// Its name in the text.
    pub name: String,
    /// Threads of a workgroup in each dimension.
    pub workgroup_size: [u32; 3],
    /// The buffers that it uses, by their numbers, `Params` at 0 included.
    pub bindings: Vec<BufferBinding>,
}

/// A buffer that an entry point uses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufferBinding {
    /// Its bind group, which is 0.
    pub group: u32,
    /// Its number in the group.
    pub binding: u32,
    /// Its name in the text.
    pub name: String,
    /// How it is bound.
    pub buffer_use: BufferUse,
    /// Its type in the text, such as `array<u32>`.
    pub buffer_type: String,
}

/// How a buffer is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BufferUse {
    /// `uniform`
    Uniform,
    /// `read-only-storage`
    Read,
    /// `storage`
    ReadWrite,
}

impl BufferUse {
    /// WebGPU's name of it, a `GPUBufferBindingType`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Read => "read-only-storage",
            Self::ReadWrite => "storage",
        }
    }
}

/// All shaders, with their interface. See the [module](self).
pub fn shaders() -> Vec<ShaderText> {
    variants(&[Dialect::default()]).map(described).collect()
}

/// What the shaders that draw from a normal distribution bind as `normal_table`: its quantiles in fixed point, with 20
/// bits after the point.
pub fn normals() -> &'static [i32] {
    &NORMAL_TABLE[..]
}

/// The description of a text. Every text is tested, so one that cannot be described is our mistake.
fn described(variant: Variant) -> ShaderText {
    let (module, info) = variant.parsed();
    let Variant { shader, name, tables, text, .. } = variant;
    ShaderText {
        name: shader.name,
        variant: name,
        tables: tables.into_iter().map(|(table, format)| TableFormat { table, format }).collect(),
        params: params(&module),
        constants: constants(&module),
        entry_points: entry_points(&module, &info),
        wgsl: text,
    }
}

fn named(name: &Option<String>) -> String {
    name.clone().expect("everything of the interface has a name")
}

fn scalar(scalar: naga::Scalar) -> &'static str {
    match (scalar.kind, scalar.width) {
        (ScalarKind::Uint, 4) => "u32",
        (ScalarKind::Sint, 4) => "i32",
        (ScalarKind::Float, 4) => "f32",
        _ => panic!("{scalar:?} in an interface"),
    }
}

/// A type as WGSL has it.
fn type_name(module: &Module, of: Handle<naga::Type>) -> String {
    match (&module.types[of].name, &module.types[of].inner) {
        (Some(name), _) => name.clone(),
        (None, TypeInner::Scalar(own)) => scalar(*own).to_owned(),
        (None, TypeInner::Atomic(own)) => format!("atomic<{}>", scalar(*own)),
        (None, TypeInner::Vector { size, scalar: own }) => format!("vec{}<{}>", *size as u8, scalar(*own)),
        (None, TypeInner::Array { base, .. }) => format!("array<{}>", type_name(module, *base)),
        (None, other) => panic!("{other:?} in an interface"),
    }
}

fn params(module: &Module) -> Vec<ParamField> {
    let (_, params) =
        module.types.iter().find(|(_, of)| of.name.as_deref() == Some("Params")).expect("a struct Params");
    let TypeInner::Struct { members, .. } = &params.inner else { panic!("Params is no struct") };
    let field = |member: &naga::StructMember| ParamField {
        name: named(&member.name),
        scalar: type_name(module, member.ty),
        offset_bytes: member.offset,
    };
    members.iter().map(field).collect()
}

fn constants(module: &Module) -> Vec<OverrideConstant> {
    let constant = |of: &naga::Override| {
        let init = of.init.expect("every override has a default");
        OverrideConstant {
            name: named(&of.name),
            scalar: type_name(module, of.ty),
            default: value(module, init),
            derived: !matches!(module.global_expressions[init], Expression::Literal(_)),
        }
    };
    module.overrides.iter().map(|(_, of)| constant(of)).collect()
}

/// The value of a default.
fn value(module: &Module, of: Handle<Expression>) -> f64 {
    match module.global_expressions[of] {
        Expression::Literal(Literal::U32(value)) => value.into(),
        Expression::Literal(Literal::I32(value)) => value.into(),
        Expression::Literal(Literal::F32(value)) => value.into(),
        Expression::Override(of) => value(module, module.overrides[of].init.expect("every override has a default")),
        Expression::Binary { op, left, right } => {
            let (left, right) = (value(module, left), value(module, right));
            match op {
                BinaryOperator::Add => left + right,
                BinaryOperator::Subtract => left - right,
                BinaryOperator::Multiply => left * right,
                // Of whole numbers, as all that is computed are.
                BinaryOperator::Divide => (left / right).trunc(),
                other => panic!("{other:?} in the default of an override"),
            }
        }
        ref other => panic!("{other:?} in the default of an override"),
    }
}

fn entry_points(module: &Module, info: &ModuleInfo) -> Vec<EntryPoint> {
    let entry = |(index, point): (usize, &naga::EntryPoint)| {
        let uses = info.get_entry_point(index);
        let used = module.global_variables.iter().filter(|(handle, _)| !uses[*handle].is_empty());
        let mut bindings: Vec<_> = used.filter_map(|(_, variable)| buffer(module, variable)).collect();
        bindings.sort_by_key(|binding| binding.binding);
        EntryPoint { name: point.name.clone(), workgroup_size: point.workgroup_size, bindings }
    };
    module.entry_points.iter().enumerate().map(entry).collect()
}

/// None for memory of a workgroup.
fn buffer(module: &Module, variable: &naga::GlobalVariable) -> Option<BufferBinding> {
    let naga::ResourceBinding { group, binding } = variable.binding?;
    let buffer_use = match variable.space {
        AddressSpace::Uniform => BufferUse::Uniform,
        AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => BufferUse::ReadWrite,
        AddressSpace::Storage { .. } => BufferUse::Read,
        other => panic!("{other:?} has a binding"),
    };
    let buffer_type = type_name(module, variable.ty);
    Some(BufferBinding { group, binding, name: named(&variable.name), buffer_use, buffer_type })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Access;
    use crate::device::shader::Field;
    use crate::kernels::SHADERS;

    /// An interface is declared in Rust and read from the text for people: both say the same.
    #[test]
    fn the_manifest_says_what_the_kernels_declare() {
        let all = shaders();
        let mut names: Vec<&str> = all.iter().map(|text| text.name).collect();
        names.dedup();
        assert_eq!(names, SHADERS.iter().map(|shader| shader.name).collect::<Vec<_>>());
        for text in &all {
            let shader = SHADERS.iter().find(|shader| shader.name == text.name).unwrap();
            let fields: Vec<&str> = text.params.iter().map(|field| field.name.as_str()).collect();
            assert_eq!(fields, shader.params.iter().flat_map(Field::names).collect::<Vec<_>>(), "{}", text.variant);
            assert_eq!(text.params_bytes() as usize, 4 * shader.param_words());
            assert_eq!(text.entry_points.len(), shader.entries.len());
            for point in &text.entry_points {
                let declared = shader.entry(&point.name);
                assert_eq!(point.workgroup_size, [declared.workgroup, 1, 1]);
                let used = |binding: &BufferBinding| match binding.buffer_use {
                    BufferUse::Read => Some((binding.binding, Access::Read)),
                    BufferUse::ReadWrite => Some((binding.binding, Access::Write)),
                    BufferUse::Uniform => None,
                };
                let bindings: Vec<_> = point.bindings.iter().filter_map(used).collect();
                assert_eq!(bindings, declared.bindings, "{}/{}", text.variant, point.name);
            }
        }
    }

    #[test]
    fn constants_that_are_computed_from_others_have_their_value() {
        let all = shaders();
        let top_k = all.iter().find(|text| text.name == "rank/top_k").unwrap();
        let constants = top_k.constants.iter().map(|of| (of.name.as_str(), of.default, of.derived));
        let want = [
            ("ragged", 0.0, false),
            ("fours", 4.0, false),
            ("columns", 64.0, true),
            ("depth", 8.0, true),
            ("team", 16.0, true),
            ("places", 56.0, true),
        ];
        assert_eq!(constants.collect::<Vec<_>>(), want);
    }

    #[test]
    fn each_format_has_a_text_of_its_own() {
        let all = shaders();
        let variants = |name| all.iter().filter(move |text| text.name == name).map(|text| text.variant.as_str());
        assert_eq!(variants("prim/scan").collect::<Vec<_>>(), ["prim/scan"]);
        let lookups: Vec<_> = Format::ALL.iter().map(|format| format!("table/lookup.{}", format.name())).collect();
        assert_eq!(variants("table/lookup").collect::<Vec<_>>(), lookups);
        assert_eq!(variants("table/migrate").count(), Format::ALL.len());
        assert_eq!(variants("rank/bpr").count(), Format::ALL.len().pow(2));
        assert!(variants("rank/bpr").any(|variant| variant == "rank/bpr.f16-f32"));
    }
}
