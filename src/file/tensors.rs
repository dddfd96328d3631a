//! A [`State`] as a safetensors file: each entry is a tensor of one dimension.

use std::borrow::Cow;

use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::{Map, json};

use super::state::{Numbers, State};

/// The file, in pieces: its header, then each entry's bytes. Equal states give equal bytes.
pub fn pieces<'a>(entries: &[(&'a str, &'a Numbers)]) -> Vec<Cow<'a, [u8]>> {
    // Every number lies at a multiple of its width, as readers want it.
    let mut order = entries.to_vec();
    order.sort_by(|(a, of_a), (b, of_b)| of_b.width().cmp(&of_a.width()).then(a.cmp(b)));
    let (mut tensors, mut begin) = (Map::new(), 0);
    for (name, numbers) in &order {
        let end = begin + numbers.len() * numbers.width();
        let of =
            json!({"dtype": numbers.kind().to_uppercase(), "shape": [numbers.len()], "data_offsets": [begin, end]});
        tensors.insert((*name).to_owned(), of);
        begin = end;
    }
    let mut header = serde_json::to_vec(&tensors).expect("names and numbers");
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut first = (header.len() as u64).to_le_bytes().to_vec();
    first.extend(header);
    std::iter::once(first.into()).chain(order.iter().map(|(_, numbers)| numbers.to_le_bytes())).collect()
}

/// Adds what such a file holds to a state. Otherwise says what was expected and what was found.
pub fn read(bytes: &[u8], state: &mut State) -> Result<(), (String, String)> {
    let tensors = SafeTensors::deserialize(bytes);
    let tensors = tensors.map_err(|error| ("a safetensors file".to_owned(), error.to_string()))?;
    for (name, tensor) in tensors.iter() {
        let kind = match tensor.dtype() {
            Dtype::U8 => "u8",
            Dtype::U16 => "u16",
            Dtype::U32 => "u32",
            Dtype::U64 => "u64",
            Dtype::I64 => "i64",
            Dtype::F32 => "f32",
            Dtype::F64 => "f64",
            other => return Err((format!("`{name}` of a type that a state holds"), format!("{other:?}"))),
        };
        let numbers = Numbers::from_le_bytes(kind, tensor.data());
        state.put(name, numbers.expect("safetensors checked the length against the type"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_bit_for_bit() {
        let mut state = State::default();
        state.put("bytes", vec![1u8, 2, 3]);
        state.put("none", Vec::<u16>::new());
        state.put("halves", vec![1u16, 65_535]);
        state.put("a/\"quoted\"\n", vec![7u32]);
        state.put("wide", vec![u64::MAX, 0]);
        state.put("signed", vec![i64::MIN]);
        state.put("floats", vec![-0.0f32, f32::NAN, f32::from_bits(1)]);
        state.put("doubles", vec![f64::INFINITY]);
        let entries: Vec<_> = state.iter().collect();
        let bytes = pieces(&entries).concat();
        let mut back = State::default();
        read(&bytes, &mut back).unwrap();
        assert_eq!(back, state);
        // Eight bytes of length, then whole words of header: numbers are aligned.
        assert_eq!(u64::from_le_bytes(bytes[..8].try_into().unwrap()) % 8, 0);
        let parsed = SafeTensors::deserialize(&bytes).unwrap();
        let base = bytes.as_ptr() as usize;
        for (name, tensor) in parsed.iter() {
            let at = tensor.data().as_ptr() as usize - base;
            assert_eq!(at % (tensor.dtype().bitsize() / 8), 0, "{name}");
        }
        assert!(read(&bytes[..bytes.len() - 1], &mut back).is_err());
    }
}
