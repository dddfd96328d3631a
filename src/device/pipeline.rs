//! Pipelines, built once per device, and the launch of one dispatch.

use super::faults::lock;
use super::gpu::{Cache, Gpu};
use super::shader::{Access, CodecSource, Dialect, Entry, Field, Shader};
use crate::{Error, Result};

/// Shader, entry point, codecs, `override` constants.
type Key = (&'static str, &'static str, Vec<&'static str>, Vec<(&'static str, u64)>);

#[derive(Default)]
pub(crate) struct Pipelines {
    built: Cache<Key, Pipeline>,
    #[cfg(test)]
    edit: Option<(String, String, String)>,
}

#[derive(Clone)]
struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

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
    Gpu(&'a Gpu, &'a wgpu::Buffer, Bytes),
    /// The normal table of the GPU that records.
    Normals,
}

/// A stretch of a buffer.
#[derive(Clone, Copy)]
struct Bytes {
    offset: u64,
    size: Option<wgpu::BufferSize>,
}

impl<'a> Binding<'a> {
    pub fn on_cpu(arg: &'static str) -> Self {
        Self { arg, source: Source::Cpu, is_shared: false }
    }

    pub fn new(arg: &'static str, gpu: &'a Gpu, binding: wgpu::BufferBinding<'a>) -> Self {
        let wgpu::BufferBinding { buffer, offset, size } = binding;
        Self { arg, source: Source::Gpu(gpu, buffer, Bytes { offset, size }), is_shared: false }
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

    fn resolve(&self, op: &'static str, gpu: &'a Gpu) -> Result<wgpu::BufferBinding<'a>> {
        let wrong = |got: &str| Error::Buffer {
            op,
            arg: self.arg,
            expected: "a buffer of the device that records",
            got: got.to_owned(),
        };
        match self.source {
            Source::Cpu => Err(wrong("a CPU buffer")),
            Source::Gpu(owner, ..) if owner != gpu => Err(wrong("a buffer of another device")),
            Source::Gpu(_, buffer, Bytes { offset, size }) => Ok(wgpu::BufferBinding { buffer, offset, size }),
            Source::Normals => Ok(gpu.normal_table()?.as_entire_buffer_binding()),
        }
    }
}

/// Whether stretches of buffers that will be written have no byte in common.
pub(crate) fn check_distinct<'a>(
    op: &'static str,
    parts: impl IntoIterator<Item = (&'static str, Option<wgpu::BufferBinding<'a>>)>,
) -> Result<()> {
    let mut seen: Vec<(&'static str, wgpu::BufferBinding<'a>)> = Vec::new();
    for (arg, part) in parts {
        let Some(part) = part else { continue };
        if let Some((other, _)) = seen.iter().find(|(_, seen)| seen.buffer == part.buffer && overlap(seen, &part)) {
            let (expected, got) = ("a buffer of its own", format!("that of `{other}`"));
            return Err(Error::Buffer { op, arg, expected, got });
        }
        seen.push((arg, part));
    }
    Ok(())
}

/// Whether two stretches of one buffer have a byte in common.
fn overlap(a: &wgpu::BufferBinding<'_>, b: &wgpu::BufferBinding<'_>) -> bool {
    let range = |of: &wgpu::BufferBinding<'_>| {
        let size = of.size.map_or(of.buffer.size() - of.offset, wgpu::BufferSize::get);
        of.offset..of.offset + size
    };
    let (a, b) = (range(a), range(b));
    a.start < b.end && b.start < a.end
}

/// One dispatch: entry point, codecs of the shader's tables in WGSL, `override` constants, parameters, buffers in the order of the
/// declaration, workgroups.
pub(crate) struct Launch<'a> {
    pub shader: &'static Shader,
    pub entry: &'static str,
    pub codecs: &'a [CodecSource],
    pub constants: &'a [(&'static str, f64)],
    pub params: Vec<u32>,
    pub bindings: &'a [Binding<'a>],
    pub groups: u64,
}

/// The dispatches of an operator. All are made before the first is recorded, so that an error leaves the caller's pass
/// as it was.
#[derive(Default)]
pub struct Dispatches(Vec<Dispatch>);

struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    immediates: Option<Vec<u32>>,
    groups: (u32, u32),
}

impl Dispatches {
    /// Records all of them.
    pub(crate) fn record(self, pass: &mut wgpu::ComputePass<'_>) {
        for Dispatch { pipeline, group, immediates, groups: (x, y) } in self.0 {
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            if let Some(params) = immediates {
                pass.set_immediates(0, bytemuck::cast_slice(&params));
            }
            pass.dispatch_workgroups(x, y, 1);
        }
    }
}

impl Launch<'_> {
    /// Adds the dispatch to a list. No groups, no dispatch.
    pub(crate) fn record(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let op = self.shader.name;
        let entry = self.shader.entry(self.entry);
        assert_eq!(entry.bindings.len(), self.bindings.len(), "{op}: {} declares other bindings", entry.name);
        let names = || self.shader.params.iter().flat_map(Field::names).collect::<Vec<_>>();
        let words = self.shader.param_words();
        assert_eq!(self.params.len(), words, "{op}: {} gets other parameters than {:?}", entry.name, names());
        entry.check(op, gpu.limits())?;
        let groups = fold(op, self.groups, gpu.limits())?;
        let buffers = self.bindings.iter().map(|binding| binding.resolve(op, gpu)).collect::<Result<Vec<_>>>()?;
        self.check_aliases(op, entry, &buffers)?;
        if self.groups == 0 {
            return Ok(());
        }
        let Pipeline { pipeline, layout } = gpu.pipelines().get(gpu, self.shader, entry, self.codecs, self.constants);
        let uniform = (!gpu.has_immediates())
            .then(|| gpu.create_filled(op, wgpu::BufferUsages::UNIFORM, bytemuck::cast_slice(&self.params)))
            .transpose()?;
        let uniform = uniform.iter().map(|uniform| (0, uniform.as_entire_buffer_binding()));
        let bound = entry.bindings.iter().map(|(index, _)| *index).zip(buffers);
        let entries: Vec<_> = (uniform.chain(bound))
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::Buffer(buffer) })
            .collect();
        let descriptor = wgpu::BindGroupDescriptor { label: Some(op), layout: &layout, entries: &entries };
        let group = gpu.device().create_bind_group(&descriptor);
        let immediates = gpu.has_immediates().then_some(self.params);
        list.0.push(Dispatch { pipeline, group, immediates, groups });
        Ok(())
    }
}

impl Launch<'_> {
    /// What is written must not have another name: wrapped buffers may be one and the same, or have bytes in common. A
    /// buffer that is written and read must not even be bound in two stretches, as wgpu knows its use as a whole.
    fn check_aliases(&self, op: &'static str, entry: &Entry, buffers: &[wgpu::BufferBinding<'_>]) -> Result<()> {
        let of = |i: usize| (&self.bindings[i], entry.bindings[i].1, &buffers[i]);
        for i in 0..buffers.len() {
            let (binding, access, buffer) = of(i);
            for (other, other_access, other_buffer) in (0..i).map(of) {
                let written = access == Access::Write || other_access == Access::Write;
                if !written || buffer.buffer != other_buffer.buffer {
                    continue;
                }
                let is_again = binding.arg == other.arg && (binding.is_shared || other.is_shared);
                if access != other_access || overlap(buffer, other_buffer) && !is_again {
                    let (arg, expected) = (binding.arg, "a buffer of its own");
                    return Err(Error::Buffer { op, arg, expected, got: format!("that of `{}`", other.arg) });
                }
            }
        }
        Ok(())
    }
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

impl Pipelines {
    #[cfg(test)]
    pub(crate) fn edited(file: &str, from: &str, to: &str) -> Self {
        Self { built: Cache::default(), edit: Some((file.to_owned(), from.to_owned(), to.to_owned())) }
    }

    fn get(
        &self,
        gpu: &Gpu,
        shader: &'static Shader,
        entry: &'static Entry,
        codecs: &[CodecSource],
        constants: &[(&'static str, f64)],
    ) -> Pipeline {
        let key = (
            shader.name,
            entry.name,
            codecs.iter().map(|codec| codec.name).collect(),
            constants.iter().map(|(name, value)| (*name, value.to_bits())).collect(),
        );
        lock(&self.built).entry(key).or_insert_with(|| self.build(gpu, shader, entry, codecs, constants)).clone()
    }

    fn build(
        &self,
        gpu: &Gpu,
        shader: &Shader,
        entry: &Entry,
        codecs: &[CodecSource],
        constants: &[(&'static str, f64)],
    ) -> Pipeline {
        let label = format!("{}/{}", shader.name, entry.name);
        let device = gpu.device();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&label),
            source: wgpu::ShaderSource::Wgsl(self.source(gpu, shader, codecs).into()),
        });
        let bound = |(binding, ty)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let immediates = gpu.has_immediates();
        let uniform = (!immediates).then_some((0, wgpu::BufferBindingType::Uniform));
        let storage = entry.bindings.iter().map(|&(binding, access)| {
            (binding, wgpu::BufferBindingType::Storage { read_only: access == Access::Read })
        });
        let entries: Vec<_> = uniform.into_iter().chain(storage).map(bound).collect();
        let layout = device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(&label), entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: if immediates { 4 * shader.param_words() as u32 } else { 0 },
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(entry.name),
            compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
            cache: None,
        });
        Pipeline { pipeline, layout }
    }

    fn source(&self, gpu: &Gpu, shader: &Shader, codecs: &[CodecSource]) -> String {
        let dialect = Dialect { immediates: gpu.has_immediates(), wide_integers: gpu.has_wide_integers() };
        self.edited_source(shader, shader.text(dialect, codecs))
    }

    #[cfg(not(test))]
    fn edited_source(&self, _: &Shader, source: String) -> String {
        source
    }

    #[cfg(test)]
    fn edited_source(&self, shader: &Shader, source: String) -> String {
        match &self.edit {
            // Of several codecs, one may not have the text.
            Some((file, from, to)) if file == shader.name => source.replacen(from, to, 1),
            _ => source,
        }
    }
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
