//! The launch of one dispatch: what a kernel declares of it, checked.

use super::dispatches::{Bound, Dispatches, Listed};
use super::gpu::Gpu;
use super::pipeline::{Key, Recipe};
use super::shader::{Access, CodecSource, Entry, Field, Shader};
use crate::{Error, Result};

/// A buffer on its way into a bind group, with the argument's name for errors.
#[derive(Clone, Copy)]
pub(crate) struct Binding<'a> {
    arg: &'static str,
    source: Source<'a>,
    is_shared: bool,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    /// A buffer on the CPU, which is an error.
    Cpu,
    Gpu(&'a Gpu, Bound<'a>),
    /// The normal table of the GPU that records.
    Normals,
}

impl<'a> Binding<'a> {
    pub fn on_cpu(arg: &'static str) -> Self {
        Self { arg, source: Source::Cpu, is_shared: false }
    }

    pub fn new(arg: &'static str, gpu: &'a Gpu, binding: wgpu::BufferBinding<'a>) -> Self {
        Self { arg, source: Source::Gpu(gpu, Bound::from(binding)), is_shared: false }
    }

    /// All of a buffer that the operator itself has made.
    pub fn whole(arg: &'static str, gpu: &'a Gpu, buffer: &'a wgpu::Buffer) -> Self {
        Self::new(arg, gpu, buffer.as_entire_buffer_binding())
    }

    /// The table of normal draws.
    pub fn normals() -> Self {
        Self { arg: "normal table", source: Source::Normals, is_shared: false }
    }

    /// The same, which may be bound to be written where its argument is bound to be written already: as another region
    /// of a workspace, or in place of something that the entry point does not touch. Everything else that is bound
    /// twice is refused.
    pub fn shared(self) -> Self {
        Self { is_shared: true, ..self }
    }

    fn resolve(&self, op: &'static str, gpu: &'a Gpu) -> Result<Bound<'a>> {
        let wrong = |got: &str| Error::Buffer {
            op,
            arg: self.arg,
            expected: "a buffer of the device that records",
            got: got.to_owned(),
        };
        match self.source {
            Source::Cpu => Err(wrong("a CPU buffer")),
            Source::Gpu(owner, _) if owner != gpu => Err(wrong("a buffer of another device")),
            Source::Gpu(_, bound) => Ok(bound),
            Source::Normals => Ok(gpu.normal_table()?.as_entire_buffer_binding().into()),
        }
    }
}

/// One dispatch: entry point, codecs of the shader's tables in WGSL, `override` constants, parameters, buffers in the
/// order of the declaration, workgroups.
pub(crate) struct Launch<'a> {
    pub shader: &'static Shader,
    pub entry: &'static str,
    pub codecs: &'a [CodecSource],
    pub constants: &'a [(&'static str, f64)],
    pub params: Vec<u32>,
    pub bindings: &'a [Binding<'a>],
    pub groups: u64,
}

impl Launch<'_> {
    /// Adds the dispatch to a list. No groups, no dispatch.
    pub(crate) fn record(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let Self { shader, codecs, constants, .. } = self;
        let op = shader.name;
        let entry = shader.entry(self.entry);
        assert_eq!(entry.bindings.len(), self.bindings.len(), "{op}: {} declares other bindings", entry.name);
        let names = || shader.params.iter().flat_map(Field::names).collect::<Vec<_>>();
        let words = shader.param_words();
        assert_eq!(self.params.len(), words, "{op}: {} gets other parameters than {:?}", entry.name, names());
        entry.check(op, gpu.limits())?;
        let groups = fold(op, self.groups, gpu.limits())?;
        let buffers = self.bindings.iter().map(|binding| binding.resolve(op, gpu)).collect::<Result<Vec<_>>>()?;
        self.check_aliases(op, entry, &buffers)?;
        if self.groups == 0 {
            return Ok(());
        }
        let key = Key::of(Recipe { shader, entry, codecs, constants });
        list.add(gpu, Listed { key, params: &self.params, buffers: &buffers, groups });
        Ok(())
    }

    /// What is written must not have another name: wrapped buffers may be one and the same, or have bytes in common. A
    /// buffer that is written and read must not even be bound in two stretches, as wgpu knows its use as a whole.
    fn check_aliases(&self, op: &'static str, entry: &Entry, buffers: &[Bound<'_>]) -> Result<()> {
        let of = |i: usize| (&self.bindings[i], entry.bindings[i].1, &buffers[i]);
        for i in 0..buffers.len() {
            let (binding, access, buffer) = of(i);
            for (other, other_access, other_buffer) in (0..i).map(of) {
                let written = access == Access::Write || other_access == Access::Write;
                if !written || buffer.buffer != other_buffer.buffer {
                    continue;
                }
                let is_again = binding.arg == other.arg && (binding.is_shared || other.is_shared);
                if access != other_access || buffer.overlaps(other_buffer) && !is_again {
                    let (arg, expected) = (binding.arg, "a buffer of its own");
                    return Err(Error::Buffer { op, arg, expected, got: format!("that of `{}`", other.arg) });
                }
            }
        }
        Ok(())
    }
}

/// Whether parts that will be written have no byte in common.
pub(crate) fn check_distinct<'a>(
    op: &'static str,
    parts: impl IntoIterator<Item = (&'static str, Option<wgpu::BufferBinding<'a>>)>,
) -> Result<()> {
    let mut seen: Vec<(&'static str, Bound<'a>)> = Vec::new();
    for (arg, part) in parts {
        let Some(part) = part.map(Bound::from) else { continue };
        if let Some((other, _)) = seen.iter().find(|(_, seen)| seen.buffer == part.buffer && seen.overlaps(&part)) {
            let (expected, got) = ("a buffer of its own", format!("that of `{other}`"));
            return Err(Error::Buffer { op, arg, expected, got });
        }
        seen.push((arg, part));
    }
    Ok(())
}

/// Folds a 1-D grid into two dimensions; shaders undo it with `workgroup_index` of `common/grid.wgsl`.
fn fold(op: &'static str, groups: u64, limits: &wgpu::Limits) -> Result<(u32, u32)> {
    let max = u64::from(limits.max_compute_workgroups_per_dimension);
    let y = groups.div_ceil(max).max(1);
    if y > max {
        return Err(Error::Limit {
            op,
            arg: "workgroups",
            limit: "max_compute_workgroups_per_dimension squared",
            allowed: max * max,
            requested: groups,
        });
    }
    Ok((groups.div_ceil(y) as u32, y as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_fold_past_the_dimension_limit() {
        let limits = wgpu::Limits::default();
        assert_eq!(fold("t", 65_535, &limits).unwrap(), (65_535, 1));
        assert_eq!(fold("t", 65_536, &limits).unwrap(), (32_768, 2));
        let (x, y) = fold("t", 1_000_003, &limits).unwrap();
        assert!(u64::from(x) * u64::from(y) >= 1_000_003 && x <= 65_535);
        assert!(matches!(fold("t", 1 << 32, &limits), Err(Error::Limit { .. })));
    }
}
