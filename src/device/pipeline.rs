//! Pipelines, each built once a device: one shader module for all entry points of a shader, one pipeline for each of
//! them with its constants. No lock is held while something is compiled, so that threads compile side by side.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, OnceLock};

use super::counters::Counters;
use super::faults::lock;
use super::shader::{Access, CodecSource, Dialect, Entry, MAX_PARAMS_BYTES, Shader};

/// What a pipeline is made of.
#[derive(Clone, Copy)]
pub(super) struct Recipe<'a> {
    pub shader: &'static Shader,
    pub entry: &'static Entry,
    pub codecs: &'a [CodecSource],
    pub constants: &'a [(&'static str, f64)],
}

/// The most `override` constants of a launch, and the most tables.
const MOST: [usize; 2] = [12, 4];

/// A [`Recipe`] to compare, without strings: declarations and names stand at one address each.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub shader: &'static Shader,
    pub entry: &'static Entry,
    codecs: [Option<CodecSource>; MOST[1]],
    constants: [(&'static str, u64); MOST[0]],
    lens: [usize; 2],
}

impl Key {
    pub fn of(recipe: Recipe<'_>) -> Self {
        let Recipe { shader, entry, codecs, constants } = recipe;
        // What the entry point does not read is left out, so that it makes no difference; names are the declaration's.
        let value = |name: &&'static str| {
            let (_, value) = constants.iter().find(|(given, _)| given == name)?;
            Some((*name, value.to_bits()))
        };
        let read = entry.overrides.iter().filter_map(value);
        let mut key = Self { shader, entry, codecs: [None; MOST[1]], constants: [("", 0); MOST[0]], lens: [0; 2] };
        key.lens = [read.clone().count(), codecs.len()];
        assert!(key.lens[0] <= MOST[0] && key.lens[1] <= MOST[1], "{}: {:?} constants, codecs", shader.name, key.lens);
        key.codecs.iter_mut().zip(codecs).for_each(|(own, codec)| *own = Some(*codec));
        key.constants.iter_mut().zip(read).for_each(|(own, constant)| *own = constant);
        key
    }

    fn words(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let codecs = self.codecs[..self.lens[1]].iter().flatten().map(|codec| (codec.name.as_ptr().addr(), 0));
        let constants = self.constants[..self.lens[0]].iter().map(|(name, bits)| (name.as_ptr().addr(), *bits));
        // Entry points of two shaders that are declared alike may stand at one address; the shaders do not.
        let declared = [std::ptr::from_ref(self.shader).addr(), std::ptr::from_ref(self.entry).addr()];
        declared.into_iter().map(|address| (address, 0)).chain(codecs).chain(constants)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.lens == other.lens && self.words().eq(other.words())
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.words().for_each(|word| word.hash(state));
    }
}

#[derive(Clone)]
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// Something that is made once, outside of the lock on the map that it stands in.
type Once<T> = Arc<OnceLock<T>>;

/// A shader by its address, and its codecs.
type ModuleKey = (usize, Vec<&'static str>);

/// The pipelines of a device.
pub(super) struct Pipelines {
    device: wgpu::Device,
    /// Where parameters are no immediates, they are a uniform at a dynamic offset.
    dialect: Dialect,
    modules: Mutex<HashMap<ModuleKey, Once<wgpu::ShaderModule>>>,
    built: Mutex<HashMap<Key, Once<Pipeline>>>,
    cache: OnceLock<wgpu::PipelineCache>,
    #[cfg(test)]
    edit: Option<(String, String, String)>,
}

impl Pipelines {
    pub fn of(device: &wgpu::Device) -> Self {
        let features = device.features();
        let immediates =
            features.contains(wgpu::Features::IMMEDIATES) && device.limits().max_immediate_size >= MAX_PARAMS_BYTES;
        Self {
            device: device.clone(),
            dialect: Dialect { immediates, wide_integers: features.contains(wgpu::Features::SHADER_INT64) },
            modules: Mutex::default(),
            built: Mutex::default(),
            cache: OnceLock::new(),
            #[cfg(test)]
            edit: None,
        }
    }

    #[cfg(test)]
    pub fn edited(device: &wgpu::Device, file: &str, from: &str, to: &str) -> Self {
        Self { edit: Some((file.to_owned(), from.to_owned(), to.to_owned())), ..Self::of(device) }
    }

    #[cfg(test)]
    pub fn is_edited(&self) -> bool {
        self.edit.is_some()
    }

    pub fn has_immediates(&self) -> bool {
        self.dialect.immediates
    }

    /// Builds pipelines with this cache from now on. False when there is one already.
    pub fn set_cache(&self, cache: wgpu::PipelineCache) -> bool {
        self.cache.set(cache).is_ok()
    }

    /// The pipeline, built now if it is not yet.
    pub fn get(&self, key: &Key, counters: &Counters) -> Pipeline {
        let once = lock(&self.built).entry(*key).or_default().clone();
        once.get_or_init(|| self.build(key, counters)).clone()
    }

    fn build(&self, key: &Key, counters: &Counters) -> Pipeline {
        counters.pipelines.add(1);
        let Key { shader, entry, .. } = *key;
        let label = format!("{}/{}", shader.name, entry.name);
        let module = self.module(key, counters);
        let bound = |(binding, ty, has_dynamic_offset)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
            count: None,
        };
        let uniform = (!self.dialect.immediates).then_some((0, wgpu::BufferBindingType::Uniform, true));
        let storage = entry.bindings.iter().map(|&(binding, access)| {
            (binding, wgpu::BufferBindingType::Storage { read_only: access == Access::Read }, false)
        });
        let entries: Vec<_> = uniform.into_iter().chain(storage).map(bound).collect();
        let layout = self
            .device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(&label), entries: &entries });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: if self.dialect.immediates { 4 * shader.param_words() as u32 } else { 0 },
        });
        let constants = key.constants.map(|(name, bits)| (name, f64::from_bits(bits)));
        let constants = &constants[..key.lens[0]];
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(entry.name),
            compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
            cache: self.cache.get(),
        });
        Pipeline { pipeline, layout }
    }

    /// The module of all entry points of a shader.
    fn module(&self, key: &Key, counters: &Counters) -> wgpu::ShaderModule {
        let codecs: Vec<_> = key.codecs.iter().flatten().copied().collect();
        let names = codecs.iter().map(|codec| codec.name).collect();
        let once = lock(&self.modules).entry((std::ptr::from_ref(key.shader).addr(), names)).or_default().clone();
        let build = || {
            counters.shader_modules.add(1);
            let source = self.edited_source(key.shader, key.shader.text(self.dialect, &codecs));
            self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(key.shader.name),
                source: wgpu::ShaderSource::Wgsl(source.into()),
            })
        };
        once.get_or_init(build).clone()
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
