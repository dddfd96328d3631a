//! An agent as bytes: a safetensors file with weights, moments, memory, constants and counters.
//!
//! | name | type and shape | |
//! |---|---|---|
//! | `actor.0.weight`, ... `target2.2.bias` | f32 [inputs, outputs], [1, outputs] | the five networks |
//! | `actor.0.weight.m1`, ... `critic2.2.bias.m2` | the same | both moments |
//! | `replay.state`, `replay.action`, `replay.reward`, `replay.next_state` | f32 [n, ...] | transitions, oldest first |
//! | `counters`, `rates` | u64, f64 | state length, integer options and counters; the other options |
//! | `checksum` | u64 [1] | FNV-1a of all other tensors' names and bytes, in the order of their names |

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::Tensor;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::adam::Trained;
use super::networks::{Mlp, PARAM_NAMES, PARAMS, Widths, tensor, values};
use super::{ACTIONS, Agent, AgentOptions, ReplayBuffer, Transition};
use crate::file::atomic;
use crate::{Error, Result};

/// First of the counters: this file, this version.
const FORMAT: u64 = u64::from_le_bytes(*b"scallac1");

impl Agent {
    /// All of the agent as bytes in the safetensors format. Equal agents give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut tensors = Tensors::default();
        let nets = [&self.actor.net, &self.critics[0].net, &self.critics[1].net, &self.targets[0], &self.targets[1]];
        for (net, name) in nets.into_iter().zip(NETWORKS) {
            for (param, param_name) in net.params.iter().zip(PARAM_NAMES) {
                tensors.add_tensor(format!("{name}.{param_name}"), param);
            }
        }
        for (trained, name) in [&self.actor, &self.critics[0], &self.critics[1]].into_iter().zip(NETWORKS) {
            let params = trained.net.params.iter().zip(&trained.moments).zip(PARAM_NAMES);
            for ((param, moments), param_name) in params {
                for (moment, suffix) in moments.iter().zip(MOMENTS) {
                    let shape = param.dims().to_vec();
                    tensors.add_f32(format!("{name}.{param_name}.{suffix}"), shape, moment.iter().copied());
                }
            }
        }
        let n = self.replay.len();
        let replay = |of: fn(&Transition) -> &[f32]| self.replay.iter().flat_map(of).copied();
        tensors.add_f32("replay.state".into(), vec![n, self.state_len], replay(|t| &t.state));
        tensors.add_f32("replay.action".into(), vec![n, ACTIONS], replay(|t| &t.action));
        tensors.add_f32("replay.reward".into(), vec![n], replay(|t| std::slice::from_ref(&t.reward)));
        tensors.add_f32("replay.next_state".into(), vec![n, self.state_len], replay(|t| &t.next_state));
        let o = &self.options;
        let sizes = [self.state_len, o.hidden, o.capacity, o.batch, o.warm_up].map(|size| size as u64);
        let counters = [o.learning_steps, self.acted, self.learned].map(u64::from);
        tensors.add_u64("counters", &[&[FORMAT][..], &sizes, &counters, &[o.seed]].concat());
        let rates = [o.weight_decay, o.actor_max_norm, o.discount, o.entropy_weight, o.target_rate].map(f64::from);
        let rates = [&[o.actor_rate, o.critic_rate][..], &rates].concat();
        tensors.add(
            "rates".into(),
            Dtype::F64,
            vec![rates.len()],
            rates.iter().flat_map(|x| x.to_le_bytes()).collect(),
        );
        tensors.add_u64("checksum", &[tensors.checksum()]);
        tensors.bytes()
    }

    /// The agent that [`to_bytes`](Self::to_bytes) was called on: it goes on bit for bit as that one would.
    ///
    /// # Errors
    /// [`Error::Argument`] for bytes that are damaged, or of an agent for states of another length than `state_len`.
    pub fn from_bytes(bytes: &[u8], state_len: usize) -> Result<Self> {
        read(bytes, state_len).map_err(|(expected, got)| Error::Argument {
            op: "Agent::from_bytes",
            arg: "bytes",
            expected,
            got,
        })
    }

    /// Writes [`to_bytes`](Self::to_bytes) to a file, which is whole or as it was before ([`atomic::write()`]).
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, file: &Path) -> Result<()> {
        atomic::write(file, |file| file.put(&self.to_bytes()))
    }

    /// Reads a file that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::BadFile`] where [`from_bytes`](Self::from_bytes) refuses its bytes.
    pub fn load(file: &Path, state_len: usize) -> Result<Self> {
        let bytes = fs::read(file).map_err(|source| Error::Io { file: file.to_owned(), source })?;
        read(&bytes, state_len).map_err(|(expected, found)| Error::BadFile { file: file.to_owned(), expected, found })
    }
}

/// The networks' names; the first three have an optimizer.
const NETWORKS: [&str; 5] = ["actor", "critic1", "critic2", "target1", "target2"];

/// Suffixes of the moments' names.
const MOMENTS: [&str; 2] = ["m1", "m2"];

/// What was expected and what was found.
type Refusal = (String, String);

/// Named tensors on their way to bytes.
#[derive(Default)]
struct Tensors(BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>);

impl Tensors {
    fn add(&mut self, name: String, dtype: Dtype, shape: Vec<usize>, bytes: Vec<u8>) {
        self.0.insert(name, (dtype, shape, bytes));
    }

    fn add_f32(&mut self, name: String, shape: Vec<usize>, values: impl Iterator<Item = f32>) {
        self.add(name, Dtype::F32, shape, values.flat_map(f32::to_le_bytes).collect());
    }

    fn add_tensor(&mut self, name: String, tensor: &Tensor<2>) {
        self.add_f32(name, tensor.dims().to_vec(), values(tensor).into_iter());
    }

    fn add_u64(&mut self, name: &str, values: &[u64]) {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.add(name.to_owned(), Dtype::U64, vec![values.len()], bytes);
    }

    fn checksum(&self) -> u64 {
        checksum(self.0.iter().map(|(name, (_, _, bytes))| (&name[..], &bytes[..])))
    }

    fn bytes(&self) -> Vec<u8> {
        let views = self.0.iter().map(|(name, (dtype, shape, bytes))| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).expect("bytes as many as the shape takes"))
        });
        safetensors::serialize(views, None).expect("a small header")
    }
}

/// FNV-1a over names and bytes. Catches damage, not malice.
fn checksum<'a>(tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> u64 {
    let bytes = tensors.flat_map(|(name, bytes)| name.bytes().chain(bytes.iter().copied()));
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

fn read(bytes: &[u8], state_len: usize) -> Result<Agent, Refusal> {
    let refuse = |expected: &str, found: String| (expected.to_owned(), found);
    let file =
        SafeTensors::deserialize(bytes).map_err(|e| refuse("an agent in the safetensors format", e.to_string()))?;
    let counters = words(&file, "counters", 10)?;
    if counters[0] != FORMAT {
        return Err(refuse("an agent of this version", format!("the mark {:?}", counters[0].to_le_bytes())));
    }
    let sorted: BTreeMap<_, _> = file.tensors().into_iter().filter(|(name, _)| name != "checksum").collect();
    let sum = checksum(sorted.iter().map(|(name, view)| (&name[..], view.data())));
    if words(&file, "checksum", 1)?[0] != sum {
        return Err(refuse("an undamaged agent", "another checksum".to_owned()));
    }
    if counters[1] != state_len as u64 {
        return Err(refuse(&format!("an agent for states of {state_len} values"), format!("one for {}", counters[1])));
    }

    let size =
        |i: usize| usize::try_from(counters[i]).map_err(|_| refuse("sizes of this platform", counters[i].to_string()));
    let count = |i: usize| u32::try_from(counters[i]).map_err(|_| refuse("counts of 32 bits", counters[i].to_string()));
    let rates: Vec<f64> = words(&file, "rates", 7)?.into_iter().map(f64::from_bits).collect();
    let options = AgentOptions {
        hidden: size(2)?,
        capacity: size(3)?,
        batch: size(4)?,
        warm_up: size(5)?,
        learning_steps: count(6)?,
        seed: counters[9],
        actor_rate: rates[0],
        critic_rate: rates[1],
        weight_decay: rates[2] as f32,
        actor_max_norm: rates[3] as f32,
        discount: rates[4] as f32,
        entropy_weight: rates[5] as f32,
        target_rate: rates[6] as f32,
    };
    options
        .check("Agent::new", "state_len", state_len)
        .map_err(|error| refuse("options in their domain", error.to_string()))?;
    let (acted, learned) = (count(7)?, count(8)?);

    let (actor, critic) = (Widths::actor(state_len, options.hidden), Widths::critic(state_len, options.hidden));
    let net = |i: usize| -> Result<Mlp, Refusal> {
        let shapes = (if i == 0 { actor } else { critic }).shapes();
        let mut params = Vec::with_capacity(PARAMS);
        for (shape, name) in shapes.into_iter().zip(PARAM_NAMES) {
            params.push(matrix(&file, &format!("{}.{name}", NETWORKS[i]), shape)?);
        }
        Ok(Mlp { params: params.try_into().expect("as many as names") })
    };
    let trained = |i: usize| -> Result<Trained, Refusal> {
        let mut trained = Trained::new(net(i)?);
        for ((param, moments), name) in trained.net.params.iter().zip(&mut trained.moments).zip(PARAM_NAMES) {
            for (moment, suffix) in moments.iter_mut().zip(MOMENTS) {
                *moment = floats(&file, &format!("{}.{name}.{suffix}", NETWORKS[i]), &param.dims())?;
            }
        }
        Ok(trained)
    };
    Ok(Agent {
        state_len,
        options,
        actor: trained(0)?,
        critics: [trained(1)?, trained(2)?],
        targets: [net(3)?, net(4)?],
        replay: replay(&file, state_len, options.capacity)?,
        acted,
        learned,
    })
}

fn replay(file: &SafeTensors<'_>, state_len: usize, capacity: usize) -> Result<ReplayBuffer, Refusal> {
    let n = file.tensor("replay.reward").map_or(0, |view| view.shape().first().copied().unwrap_or(0));
    if n > capacity {
        return Err((format!("at most {capacity} transitions"), n.to_string()));
    }
    let states = floats(file, "replay.state", &[n, state_len])?;
    let actions = floats(file, "replay.action", &[n, ACTIONS])?;
    let rewards = floats(file, "replay.reward", &[n])?;
    let next_states = floats(file, "replay.next_state", &[n, state_len])?;
    let mut replay = ReplayBuffer::new(capacity);
    for (i, reward) in rewards.into_iter().enumerate() {
        let row = i * state_len..(i + 1) * state_len;
        let action = std::array::from_fn(|entry| actions[i * ACTIONS + entry]);
        let (state, next_state) = (states[row.clone()].to_vec(), next_states[row].to_vec());
        replay.push(Transition { state, action, reward, next_state });
    }
    Ok(replay)
}

fn matrix(file: &SafeTensors<'_>, name: &str, shape: [usize; 2]) -> Result<Tensor<2>, Refusal> {
    Ok(tensor(floats(file, name, &shape)?, shape))
}

fn floats(file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, Refusal> {
    let view = file.tensor(name).map_err(|e| (format!("a tensor {name:?}"), e.to_string()))?;
    if view.dtype() != Dtype::F32 || view.shape() != shape {
        return Err((format!("{name:?} as f32 {shape:?}"), format!("{:?} {:?}", view.dtype(), view.shape())));
    }
    let values: Vec<f32> = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err((format!("finite values in {name:?}"), value.to_string())),
        None => Ok(values),
    }
}

/// Elements of 8 bytes, as their bits.
fn words(file: &SafeTensors<'_>, name: &str, len: usize) -> Result<Vec<u64>, Refusal> {
    let view = file.tensor(name).map_err(|e| (format!("a tensor {name:?}"), e.to_string()))?;
    if view.data().len() != 8 * len {
        return Err((format!("{len} numbers in {name:?}"), format!("{} bytes", view.data().len())));
    }
    Ok(view.data().as_chunks().0.iter().map(|&bytes| u64::from_le_bytes(bytes)).collect())
}

#[cfg(test)]
mod tests;
