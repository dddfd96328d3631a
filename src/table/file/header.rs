//! The header of a table's file: what there is, before any of it is read.

use std::fmt::Write;
use std::str::FromStr;

use safetensors::tensor::{Dtype, Metadata};

use super::super::row_map::Parts;
use super::super::{RaggedTable, RowMapOptions, TableOptions};
use super::stretch::Reader;
use crate::Result;
use crate::kernels::table::optimizer::{NonFinite, Optimizer, UpdateRule};
use crate::rows::{Format, Layout};

const FORMAT: &str = "scall-gpu table";
const VERSION: u32 = 1;

/// Longest header that is looked at: this one takes less than 2 kB.
const MAX_BYTES: u64 = 1 << 20;

/// What a file says of itself.
pub(super) struct Header {
    pub options: TableOptions,
    pub steps: u32,
    pub rows: usize,
    pub values: usize,
    /// Numbers that the values are stored as.
    pub stored: usize,
    /// Name and length of each number of the optimizer's state.
    pub state: Vec<(String, usize)>,
    pub ids: Option<Ids>,
    /// All tensors, in the order in which they lie in the file.
    pub order: Vec<String>,
}

/// What it says of a map from keys to rows.
#[derive(Clone, Copy)]
pub(super) struct Ids {
    pub rows: usize,
    pub capacity: u32,
    pub options: RowMapOptions,
    pub clock: u64,
}

/// The file's first bytes: the header's length, then JSON, filled with blanks to whole words of 8 bytes. The file has
/// this many rows and values of the table, and this many as they are stored.
pub(super) fn bytes(
    table: &RaggedTable,
    (rows, values, stored): (usize, usize, usize),
    ids: Option<&Parts<(&[u64], &[f64])>>,
) -> Vec<u8> {
    let options = table.options();
    let mut metadata = vec![("format", FORMAT.to_owned()), ("version", VERSION.to_string())];
    metadata.push(("optimizer", options.rule.optimizer.name().to_owned()));
    metadata.extend(constants(&options.rule));
    metadata.push(("steps", table.steps().to_string()));
    metadata.push(("seed", options.seed.to_string()));
    metadata.push(("init_std", format!("{:?}", options.init_std)));
    metadata.push(("zero_dims", options.zero_dims.to_string()));
    if options.layout.format.group() > 1 {
        metadata.push(("values", values.to_string()));
    }
    if options.layout.aligned {
        metadata.push(("aligned", "true".to_owned()));
    }
    let mut tensors = Vec::new();
    if let Some(ids) = ids {
        metadata.push(("ids.capacity", ids.capacity.to_string()));
        metadata.push(("ids.half_life", format!("{:?}", ids.options.half_life)));
        metadata.push(("ids.clock", ids.clock.to_string()));
        tensors.push(("ids".to_owned(), "U64", ids.rows.0.len(), 8));
        tensors.push(("ids.score".to_owned(), "F64", ids.rows.1.len(), 8));
    }
    tensors.push(("offsets".to_owned(), "U32", rows + 1, 4));
    let state = options.rule.optimizer.state_size().lens(rows, values).enumerate();
    let state = state.map(|(number, len)| (format!("state.{number}"), "F32", len, 4));
    let format = options.layout.format;
    let width = format.dtype_bytes();
    let values = ("values".to_owned(), format.dtype(), stored * format.bytes() as usize / width, width);
    // Readers want every number at a multiple of its width: after an odd number of halves of words no words can come.
    if width == 4 {
        tensors.push(values);
        tensors.extend(state);
        tensors.push(("checksum".to_owned(), "U32", 2, 4));
    } else {
        tensors.extend(state);
        tensors.push(values);
        tensors.push(("checksum".to_owned(), "U16", 4, 2));
    }

    // No text here needs an escape. Written by hand, since the crate's maps have no order: equal tables give equal
    // bytes.
    let metadata: Vec<String> = metadata.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
    let mut json = format!("{{\"__metadata__\":{{{}}}", metadata.join(","));
    let mut begin = 0;
    for (name, dtype, len, width) in tensors {
        let end = begin + len * width;
        write!(json, ",\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":[{len}],\"data_offsets\":[{begin},{end}]}}")
            .expect("room in memory");
        begin = end;
    }
    json.push('}');
    let mut bytes = (json.len().next_multiple_of(8) as u64).to_le_bytes().to_vec();
    bytes.extend(json.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    bytes
}

impl Header {
    /// Reads it and checks it against itself and the file's length.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let json = json(reader)?;
        let fields = Fields { reader, json: &json };
        fields.text("format", FORMAT)?;
        fields.text("version", &VERSION.to_string())?;
        let options = TableOptions {
            rule: fields.rule()?,
            init_std: fields.number("init_std")?,
            zero_dims: fields.number("zero_dims")?,
            seed: fields.number("seed")?,
            layout: Layout { format: fields.format()?, aligned: fields.aligned()?, page_bytes: None },
        };
        if !(options.init_std.is_finite() && options.init_std >= 0.0) {
            return Err(reader.bad("metadata `init_std` finite and not negative", &options.init_std.to_string()));
        }
        let offsets = fields.len("offsets", Dtype::U32)?;
        let format = options.layout.format;
        let numbers = fields.values(format)?;
        let values = if format.group() > 1 { fields.number("values")? } else { numbers };
        for (name, len) in [("offsets", offsets), ("values", values.max(numbers))] {
            if len > u32::MAX as usize {
                return Err(reader.bad(&format!("`{name}` of less than 2^32 numbers"), &len.to_string()));
            }
        }
        let Some(rows) = offsets.checked_sub(1) else {
            return Err(reader.bad("`offsets` of one number more than there are rows", "none"));
        };
        let lens = options.rule.optimizer.state_size().lens(rows, values);
        let state: Vec<_> = lens.enumerate().map(|(number, len)| (format!("state.{number}"), len)).collect();
        for (name, len) in &state {
            fields.exactly(name, Dtype::F32, *len)?;
        }
        let ids = fields.ids(rows)?;

        let order = json.offset_keys();
        for name in &order {
            let known = match name.as_str() {
                "offsets" | "values" | "ids" | "ids.score" => true,
                "checksum" => {
                    if fields.exactly(name, Dtype::U16, 4).is_err() {
                        fields.exactly(name, Dtype::U32, 2)?;
                    }
                    if order.last() != Some(name) {
                        return Err(reader.bad("`checksum` behind all other tensors", "others behind it"));
                    }
                    true
                }
                other => state.iter().any(|(name, _)| name == other),
            };
            if !known {
                return Err(reader.bad("no tensors but those of a table with this optimizer", name));
            }
        }
        let stored = numbers * format.dtype_bytes() / format.bytes() as usize;
        Ok(Self { options, steps: fields.number("steps")?, rows, values, stored, state, ids, order })
    }
}

/// The file's JSON, if its tensors lie one after the other and end with the file.
fn json(reader: &mut Reader<'_>) -> Result<Metadata> {
    if reader.left() < 8 {
        return Err(reader.bad("the 8 bytes of a header's length", &format!("{} bytes", reader.left())));
    }
    let len = reader.numbers(1, u64::from_le_bytes)?[0];
    let most = reader.left().min(MAX_BYTES);
    if len > most {
        return Err(reader.bad(&format!("a header of at most {most} bytes"), &format!("one of {len}")));
    }
    let text = reader.bytes(len as usize)?;
    let json: Metadata = match serde_json::from_slice(&text) {
        Ok(json) => json,
        Err(error) => return Err(reader.bad("a header in the safetensors format", &error.to_string())),
    };
    if json.data_len() as u64 != reader.left() {
        let expected = format!("{} bytes of tensors behind the header", json.data_len());
        return Err(reader.bad(&expected, &reader.left().to_string()));
    }
    Ok(json)
}

/// The constants of a rule by name; those of the gradient where they do anything.
fn constants(rule: &UpdateRule) -> impl Iterator<Item = (&'static str, String)> {
    // `{:?}` is the shortest text that gives the same number back.
    let number = |(name, value): (&'static str, f32)| (name, format!("{value:?}"));
    let decay = (rule.weight_decay != 0.0).then_some(("weight_decay", rule.weight_decay));
    let max_norm = (rule.max_norm != f32::INFINITY).then_some(("max_norm", rule.max_norm));
    let non_finite = (rule.non_finite != NonFinite::default()).then(|| ("non_finite", rule.non_finite.to_string()));
    rule.optimizer.constants().chain(decay).chain(max_norm).map(number).chain(non_finite)
}

/// Looks things up in the header, with errors that say what was looked for.
struct Fields<'a> {
    reader: &'a Reader<'a>,
    json: &'a Metadata,
}

impl Fields<'_> {
    fn metadata(&self, name: &str) -> Option<&str> {
        self.json.metadata().as_ref()?.get(name).map(String::as_str)
    }

    fn text(&self, name: &str, expected: &str) -> Result<()> {
        match self.metadata(name) {
            Some(found) if found == expected => Ok(()),
            found => Err(self.reader.bad(&format!("metadata `{name}` {expected:?}"), found.unwrap_or("none"))),
        }
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<T> {
        let found = self.metadata(name);
        found.and_then(|text| text.parse().ok()).ok_or_else(|| {
            let expected = format!("metadata `{name}` as a number ({})", std::any::type_name::<T>());
            self.reader.bad(&expected, found.unwrap_or("none"))
        })
    }

    /// A number, or what it is where the file has none.
    fn number_or(&self, name: &str, default: f32) -> Result<f32> {
        if self.metadata(name).is_some() { self.number(name) } else { Ok(default) }
    }

    fn rule(&self) -> Result<UpdateRule> {
        let name = self.metadata("optimizer").unwrap_or("none");
        let Some(recipe) = Optimizer::RECIPES.iter().find(|recipe| recipe.name == name) else {
            return Err(self.reader.bad("metadata `optimizer` that is known", name));
        };
        let optimizer = Optimizer::from_recipe(recipe, |constant| self.number(constant.name))?;
        let rule = UpdateRule {
            optimizer,
            weight_decay: self.number_or("weight_decay", 0.0)?,
            max_norm: self.number_or("max_norm", f32::INFINITY)?,
            non_finite: match self.metadata("non_finite") {
                None => NonFinite::default(),
                Some(text) => text.parse().map_err(|_| self.reader.bad("metadata `non_finite` that is known", text))?,
            },
        };
        match rule.check("RaggedTable::load") {
            Ok(()) => Ok(rule),
            Err(error) => Err(self.reader.bad("an optimizer with constants in their domain", &error.to_string())),
        }
    }

    /// What values are stored as: what they are in the file.
    fn format(&self) -> Result<Format> {
        let dtype = self.json.info("values").map(|info| info.dtype.to_string());
        let known = Format::ALL.iter().copied().find(|format| Some(format.dtype()) == dtype.as_deref());
        known.ok_or_else(|| {
            let names: Vec<_> = Format::ALL.iter().map(|format| format.dtype()).collect();
            self.reader.bad(&format!("`values` as {} of one dimension", names.join(" or ")), &self.shape("values"))
        })
    }

    /// How many values of a format there are.
    fn values(&self, format: Format) -> Result<usize> {
        match self.json.info("values") {
            Some(info) if info.shape.len() == 1 => Ok(info.shape[0]),
            _ => {
                Err(self.reader.bad(&format!("`values` as {} of one dimension", format.dtype()), &self.shape("values")))
            }
        }
    }

    fn aligned(&self) -> Result<bool> {
        match self.metadata("aligned") {
            None => Ok(false),
            Some(text) => text.parse().map_err(|_| self.reader.bad("metadata `aligned` true or false", text)),
        }
    }

    /// Length of a tensor of one dimension.
    fn len(&self, name: &str, dtype: Dtype) -> Result<usize> {
        match self.json.info(name) {
            Some(info) if info.dtype == dtype && info.shape.len() == 1 => Ok(info.shape[0]),
            _ => Err(self.reader.bad(&format!("`{name}` as {dtype} of one dimension"), &self.shape(name))),
        }
    }

    fn exactly(&self, name: &str, dtype: Dtype, len: usize) -> Result<()> {
        match self.json.info(name) {
            Some(info) if info.dtype == dtype && info.shape == [len] => Ok(()),
            _ => Err(self.reader.bad(&format!("`{name}` as {dtype} [{len}]"), &self.shape(name))),
        }
    }

    fn shape(&self, name: &str) -> String {
        self.json.info(name).map_or("none".to_owned(), |info| format!("{} {:?}", info.dtype, info.shape))
    }

    fn ids(&self, rows: usize) -> Result<Option<Ids>> {
        if self.json.info("ids").is_none() && self.json.info("ids.score").is_none() {
            return Ok(None);
        }
        let len = self.len("ids", Dtype::U64)?;
        self.exactly("ids.score", Dtype::F64, len)?;
        if len > rows {
            return Err(self.reader.bad(&format!("`ids` of at most {rows} rows"), &len.to_string()));
        }
        let options = RowMapOptions { half_life: self.number("ids.half_life")? };
        let (capacity, clock) = (self.number("ids.capacity")?, self.number("ids.clock")?);
        Ok(Some(Ids { rows: len, capacity, options, clock }))
    }
}
