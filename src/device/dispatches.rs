//! The dispatches of a kernel, made once and recorded.
//!
//! Parameters are immediates where the device has them. Elsewhere they are uniforms: those of all dispatches of a
//! kernel in one buffer, each at a dynamic offset. That buffer is born with its contents, as a write of the queue would
//! come before everything that is recorded and not yet submitted.

use super::bind_groups::{BindGroups, Made, Owned};
use super::gpu::Gpu;
use super::pipeline::{Key, Pipeline};
use super::shader::{Field, MAX_PARAMS_BYTES};
use crate::Result;

/// A part of a buffer, as a bind group takes it.
#[derive(Clone, Copy)]
pub(super) struct Bound<'a> {
    pub buffer: &'a wgpu::Buffer,
    pub offset: u64,
    size: Option<wgpu::BufferSize>,
}

impl<'a> From<wgpu::BufferBinding<'a>> for Bound<'a> {
    fn from(wgpu::BufferBinding { buffer, offset, size }: wgpu::BufferBinding<'a>) -> Self {
        Self { buffer, offset, size }
    }
}

impl<'a> Bound<'a> {
    /// Whether two parts of one buffer have a byte in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        let end = |of: &Self| of.size.map_or(of.buffer.size(), |size| of.offset + size.get());
        self.offset < end(other) && other.offset < end(self)
    }

    /// The same, to be kept.
    pub fn owned(&self) -> Owned {
        (self.buffer.clone(), self.offset, self.size)
    }

    /// Whether they are the parts that were kept.
    pub fn are(parts: &[Self], kept: &[Owned]) -> bool {
        let is = |(part, kept): (&Self, &Owned)| *part.buffer == kept.0 && (part.offset, part.size) == (kept.1, kept.2);
        parts.len() == kept.len() && parts.iter().zip(kept).all(is)
    }

    fn entry(self, binding: u32) -> wgpu::BindGroupEntry<'a> {
        let Self { buffer, offset, size } = self;
        let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size });
        wgpu::BindGroupEntry { binding, resource }
    }
}

/// A dispatch that is found to be sound.
pub(super) struct Listed<'a> {
    pub key: Key,
    pub params: &'a [u32],
    pub buffers: &'a [Bound<'a>],
    pub groups: (u32, u32),
}

/// The dispatches of an operator. All are made before the first is recorded, so that an error leaves the caller's pass
/// as it was.
pub struct Dispatches {
    kernel: &'static str,
    list: Vec<Dispatch>,
    /// The parameters of all, one behind the other.
    words: Vec<u32>,
    /// Bytes between the uniforms of two dispatches; none with immediates.
    stride: Option<u32>,
    /// Only the pipelines are wanted.
    keys: Option<Vec<Key>>,
    /// The bind groups of the call that it is a part of.
    groups: Option<BindGroups>,
}

struct Dispatch {
    key: Key,
    pipeline: Pipeline,
    /// Where its parameters stand.
    words: [usize; 2],
    groups: (u32, u32),
    /// What is bound, for the bind group that comes with the uniforms.
    kept: Vec<(u32, Owned)>,
    group: Option<wgpu::BindGroup>,
}

impl Dispatches {
    /// Where parameters are immediates, bind groups are taken from `groups` if there are some.
    pub(super) fn new(kernel: &'static str, gpu: &Gpu, groups: Option<BindGroups>) -> Self {
        let alignment = gpu.limits().min_uniform_buffer_offset_alignment;
        let stride = (!gpu.has_immediates()).then(|| MAX_PARAMS_BYTES.next_multiple_of(alignment));
        Self { kernel, list: Vec::new(), words: Vec::new(), stride, keys: None, groups }
    }

    /// A list that notes which pipelines its dispatches need, and no more.
    pub(super) fn of_pipelines(kernel: &'static str) -> Self {
        Self { kernel, list: Vec::new(), words: Vec::new(), stride: None, keys: Some(Vec::new()), groups: None }
    }

    pub(super) fn keys(self) -> Vec<Key> {
        self.keys.unwrap_or_default()
    }

    pub(super) fn add(&mut self, gpu: &Gpu, listed: Listed<'_>) {
        let Listed { key, params, buffers, groups } = listed;
        if let Some(keys) = &mut self.keys {
            keys.push(key);
            return;
        }
        let begin = self.words.len();
        self.words.extend_from_slice(params);
        let words = [begin, self.words.len()];
        let bindings = key.entry.bindings.iter().map(|(binding, _)| *binding);
        if self.stride.is_some() {
            let kept = bindings.zip(buffers.iter().map(Bound::owned)).collect();
            self.list.push(Dispatch { pipeline: gpu.pipeline(&key), key, words, groups, kept, group: None });
            return;
        }
        let make = || {
            let pipeline = gpu.pipeline(&key);
            let entries: Vec<_> = bindings.zip(buffers).map(|(binding, of)| of.entry(binding)).collect();
            let group = gpu.bind_group(key.shader.name, &pipeline.layout, &entries);
            Made { pipeline, group }
        };
        let Made { pipeline, group } = match &self.groups {
            Some(groups) => groups.get(&key, buffers, make),
            None => make(),
        };
        self.list.push(Dispatch { key, pipeline, words, groups, kept: Vec::new(), group: Some(group) });
    }

    /// Makes the uniforms, where the device needs some.
    pub(super) fn finish(&mut self, gpu: &Gpu) -> Result<()> {
        let Some(bytes) = self.uniforms() else { return Ok(()) };
        gpu.guarded(|| {
            let uniforms = gpu.create_filled(self.kernel, wgpu::BufferUsages::UNIFORM, &bytes)?;
            self.bind(gpu, &uniforms);
            Ok(())
        })
    }

    pub(super) fn kernel(&self) -> &'static str {
        self.kernel
    }

    /// The parameters of all dispatches.
    pub(super) fn words_mut(&mut self) -> &mut [u32] {
        &mut self.words
    }

    /// Where parameters stand among those of all dispatches, by their names.
    pub(super) fn places(&self) -> Vec<(String, Vec<usize>)> {
        let mut places: Vec<(String, Vec<usize>)> = Vec::new();
        for dispatch in &self.list {
            let names = dispatch.key.shader.params.iter().flat_map(Field::names);
            for (name, place) in names.zip(dispatch.words[0]..) {
                match places.iter_mut().find(|(own, _)| *own == name) {
                    Some((_, places)) => places.push(place),
                    None => places.push((name, vec![place])),
                }
            }
        }
        places
    }

    /// The bytes of a set of uniforms, where the device needs some.
    pub(super) fn uniforms(&self) -> Option<Vec<u8>> {
        let stride = self.stride.filter(|_| !self.list.is_empty())? as usize;
        let mut bytes = vec![0; stride * self.list.len()];
        self.write_uniforms(&mut bytes);
        Some(bytes)
    }

    /// Writes the parameters over a set of uniforms.
    pub(super) fn write_uniforms(&self, bytes: &mut [u8]) {
        let stride = bytes.len() / self.list.len();
        for (own, [begin, end]) in bytes.chunks_exact_mut(stride).zip(self.list.iter().map(|dispatch| dispatch.words)) {
            let words = bytemuck::cast_slice(&self.words[begin..end]);
            own[..words.len()].copy_from_slice(words);
        }
    }

    /// Binds all dispatches to a buffer of uniforms.
    pub(super) fn bind(&mut self, gpu: &Gpu, uniforms: &wgpu::Buffer) {
        for Dispatch { key, pipeline, words: [begin, end], kept, group, .. } in &mut self.list {
            let size = wgpu::BufferSize::new(4 * (*end - *begin) as u64);
            let params = Bound { buffer: uniforms, offset: 0, size }.entry(0);
            let kept = kept.iter().map(|(binding, (buffer, offset, size))| {
                Bound { buffer, offset: *offset, size: *size }.entry(*binding)
            });
            let entries: Vec<_> = [params].into_iter().chain(kept).collect();
            *group = Some(gpu.bind_group(key.shader.name, &pipeline.layout, &entries));
        }
    }

    /// Records all of them; the uniforms are those of a set within their buffer.
    pub(super) fn record(&self, gpu: &Gpu, pass: &mut wgpu::ComputePass<'_>, set: u32) {
        if self.list.is_empty() {
            return;
        }
        gpu.counters().dispatches.add(self.list.len() as u64);
        pass.push_debug_group(self.kernel);
        let first = set * self.list.len() as u32;
        for (number, dispatch) in self.list.iter().enumerate() {
            let Dispatch { pipeline, words: [begin, end], groups: (x, y), group, .. } = dispatch;
            pass.set_pipeline(&pipeline.pipeline);
            match self.stride {
                Some(stride) => pass.set_bind_group(0, group.as_ref(), &[stride * (first + number as u32)]),
                None => {
                    pass.set_bind_group(0, group.as_ref(), &[]);
                    pass.set_immediates(0, bytemuck::cast_slice(&self.words[*begin..*end]));
                }
            }
            pass.dispatch_workgroups(*x, *y, 1);
        }
        pass.pop_debug_group();
    }
}
