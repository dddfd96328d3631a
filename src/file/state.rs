//! What has to be kept of something so that it can go on later.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::{Error, Result};

macro_rules! numbers {
    ($($kind:ident: $type:ty),*) => {
        /// Numbers of one type.
        #[derive(Clone)]
        #[non_exhaustive]
        pub enum Numbers {
            $(#[doc = concat!("Of type `", stringify!($type), "`.")] $kind(Vec<$type>),)*
        }

        impl Numbers {
            /// How many numbers there are.
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$kind(numbers) => numbers.len(),)*
                }
            }

            /// The name of their type, such as `f32`.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => stringify!($type),)*
                }
            }

            /// The numbers of a type that have these bytes, little-endian. None for a type that there is not, and for
            /// bytes that are no whole number of numbers.
            pub(super) fn from_le_bytes(kind: &str, bytes: &[u8]) -> Option<Self> {
                match kind {
                    $(stringify!($type) => {
                        let (whole, rest) = bytes.as_chunks::<{ size_of::<$type>() }>();
                        let numbers = || whole.iter().map(|&of| <$type>::from_le_bytes(of)).collect();
                        rest.is_empty().then(|| Self::$kind(numbers()))
                    })*
                    _ => None,
                }
            }

            /// Bytes of one of them.
            pub(super) fn width(&self) -> usize {
                match self {
                    $(Self::$kind(_) => size_of::<$type>(),)*
                }
            }

            /// Their bytes, little-endian.
            pub fn to_le_bytes(&self) -> Cow<'_, [u8]> {
                match self {
                    $(Self::$kind(numbers) if cfg!(target_endian = "little") => {
                        Cow::Borrowed(bytemuck::cast_slice(numbers))
                    })*
                    $(Self::$kind(numbers) => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),)*
                }
            }
        }

        impl PartialEq for Numbers {
            /// Whether all are equal, bit by bit: a NaN equals itself.
            fn eq(&self, other: &Self) -> bool {
                match (self, other) {
                    $((Self::$kind(a), Self::$kind(b)) => {
                        bytemuck::cast_slice::<_, u8>(a) == bytemuck::cast_slice::<_, u8>(b)
                    })*
                    _ => false,
                }
            }
        }

        impl Eq for Numbers {}

        $(
            impl Number for $type {
                const KIND: &'static str = stringify!($type);

                fn of(numbers: &Numbers) -> Option<&[Self]> {
                    match numbers {
                        Numbers::$kind(numbers) => Some(numbers),
                        _ => None,
                    }
                }
            }

            impl From<Vec<$type>> for Numbers {
                fn from(numbers: Vec<$type>) -> Self {
                    Self::$kind(numbers)
                }
            }
        )*
    };
}

numbers! { U8: u8, U16: u16, U32: u32, U64: u64, I64: i64, F32: f32, F64: f64 }

/// A type that a [`State`] holds.
pub trait Number: Copy + PartialEq + fmt::Display + 'static {
    /// The type's name.
    const KIND: &'static str;

    /// The numbers, if they are of this type.
    fn of(numbers: &Numbers) -> Option<&[Self]>;
}

impl Numbers {
    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Copy, const N: usize> From<[T; N]> for Numbers
where
    Self: From<Vec<T>>,
{
    fn from(numbers: [T; N]) -> Self {
        numbers.to_vec().into()
    }
}

impl<T: Copy> From<&[T]> for Numbers
where
    Self: From<Vec<T>>,
{
    fn from(numbers: &[T]) -> Self {
        numbers.to_vec().into()
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.len(), self.kind())
    }
}

/// Numbers by name: all that has to be kept of a policy, a recommender or a whole [`Scall`](crate::Scall) so that
/// another one, made of the same options, goes on with the same bits.
///
/// It is in memory and knows no file format; each entry is one array of numbers, as safetensors and NumPy have them.
/// What is nested has
/// names with a slash, such as `policy/levels`. Copies share the numbers.
///
/// # Example
/// ```
/// use scall_gpu::file::State;
/// # fn main() -> scall_gpu::Result<()> {
/// let mut state = State::default();
/// state.put("weights", vec![0.5f32, 2.0]);
/// state.put("steps", [7u32]);
/// assert_eq!(state.numbers::<f32>("weights")?, [0.5, 2.0]);
/// assert_eq!(state.one::<u32>("steps")?, 7);
/// let error = state.array::<f32, 3>("weights").unwrap_err();
/// assert_eq!(error.to_string(), "state `weights`: expected 3 numbers (f32), found 2 numbers (f32)");
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct State {
    /// What stands before all names, for errors.
    path: String,
    /// Shared by copies: some are as large as a table.
    entries: BTreeMap<String, Arc<Numbers>>,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for State {}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.entries).finish()
    }
}

impl State {
    /// Adds numbers, in place of those that had the name before.
    pub fn put(&mut self, name: impl Into<String>, numbers: impl Into<Numbers>) {
        self.entries.insert(name.into(), Arc::new(numbers.into()));
    }

    /// Adds a text.
    pub fn put_text(&mut self, name: impl Into<String>, text: &str) {
        self.put(name, text.as_bytes());
    }

    /// Adds a list of texts: all of them one after the other as `NAME.text`, and where each ends as `NAME.ends`.
    pub(crate) fn put_texts<'a>(&mut self, name: &str, texts: impl Iterator<Item = &'a str>) {
        let (mut all, mut ends) = (String::new(), Vec::new());
        for text in texts {
            all.push_str(text);
            ends.push(all.len() as u64);
        }
        self.put_text(format!("{name}.text"), &all);
        self.put(format!("{name}.ends"), ends);
    }

    /// Adds all of another state, each name after this one and a slash.
    pub fn put_state(&mut self, name: &str, state: Self) {
        self.entries.extend(state.entries.into_iter().map(|(inner, numbers)| (format!("{name}/{inner}"), numbers)));
    }

    /// Takes an entry away.
    pub fn remove(&mut self, name: &str) -> Option<Numbers> {
        self.entries.remove(name).map(Arc::unwrap_or_clone)
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Numbers)> {
        self.entries.iter().map(|(name, numbers)| (name.as_str(), &**numbers))
    }

    /// Whether there is an entry of this name.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Takes out what [`put_state`](Self::put_state) added; nothing is an empty state.
    pub fn take_state(&mut self, name: &str) -> Self {
        let begin = format!("{name}/");
        let mut rest = self.entries.split_off(&begin);
        // '0' follows the slash.
        self.entries.append(&mut rest.split_off(&format!("{name}0")));
        let entries = rest.into_iter().map(|(name, numbers)| (name[begin.len()..].to_owned(), numbers)).collect();
        Self { path: format!("{}{begin}", self.path), entries }
    }

    /// The numbers of this name.
    ///
    /// # Errors
    /// [`Error::BadState`] where there are none, or of another type.
    pub fn numbers<T: Number>(&self, name: &str) -> Result<&[T]> {
        let found = self.entries.get(name);
        found.and_then(|numbers| T::of(numbers)).ok_or_else(|| {
            let found = found.map_or("none".to_owned(), |numbers| shape(numbers.len(), numbers.kind()));
            self.wrong(name, &format!("numbers ({})", T::KIND), &found)
        })
    }

    /// The numbers of this name, which have to be `len`.
    ///
    /// # Errors
    /// [`Error::BadState`] where there are none, of another type, or in another number.
    pub fn exactly<T: Number>(&self, name: &str, len: usize) -> Result<&[T]> {
        let numbers = self.numbers::<T>(name)?;
        match numbers.len() == len {
            true => Ok(numbers),
            false => Err(self.wrong(name, &shape(len, T::KIND), &shape(numbers.len(), T::KIND))),
        }
    }

    /// As [`exactly`](Self::exactly), as an array.
    ///
    /// # Errors
    /// Those of [`exactly`](Self::exactly).
    pub fn array<T: Number, const N: usize>(&self, name: &str) -> Result<[T; N]> {
        let numbers = self.exactly(name, N)?;
        Ok(std::array::from_fn(|i| numbers[i]))
    }

    /// The number of this name.
    ///
    /// # Errors
    /// Those of [`exactly`](Self::exactly).
    pub fn one<T: Number>(&self, name: &str) -> Result<T> {
        self.array::<T, 1>(name).map(|[number]| number)
    }

    /// The text of this name.
    ///
    /// # Errors
    /// [`Error::BadState`] where there is none, or one that is not UTF-8.
    pub fn text(&self, name: &str) -> Result<&str> {
        let text = std::str::from_utf8(self.numbers(name)?);
        text.map_err(|error| self.wrong(name, "UTF-8 text", &error.to_string()))
    }

    /// What [`put_texts`](Self::put_texts) added.
    ///
    /// # Errors
    /// Those of [`text`](Self::text), and [`Error::BadState`] for ends that are none of texts.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&str>> {
        let (all, ends) = (self.text(&format!("{name}.text"))?, format!("{name}.ends"));
        let mut start = 0;
        let mut texts = Vec::new();
        for &end in self.numbers::<u64>(&ends)? {
            let text = usize::try_from(end).ok().and_then(|end| all.get(start..end));
            texts.push(text.ok_or_else(|| self.wrong(&ends, "ends of texts, ascending", &end.to_string()))?);
            start = end as usize;
        }
        match start == all.len() {
            true => Ok(texts),
            false => Err(self.wrong(&ends, &format!("an end at {}", all.len()), &start.to_string())),
        }
    }

    /// Checks that there is nothing of another name, such as what another version or another policy has.
    ///
    /// # Errors
    /// [`Error::BadState`] with the first name that is not known.
    pub fn only(&self, known: &[&str]) -> Result<()> {
        match self.entries.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, numbers)) => {
                Err(self.wrong(name, "nothing of this name", &shape(numbers.len(), numbers.kind())))
            }
        }
    }

    /// The error of an entry that is not what it should be.
    pub fn wrong(&self, name: &str, expected: &str, found: &str) -> Error {
        let (expected, found) = (expected.to_owned(), found.to_owned());
        Error::BadState { name: format!("{}{name}", self.path), expected, found }
    }

    /// Checks an entry's numbers: each has to satisfy its domain, given in words.
    ///
    /// # Errors
    /// [`Error::BadState`] with the first number outside it.
    pub fn check<T: Number>(
        &self,
        name: &str,
        numbers: &[T],
        domain: impl Fn(T) -> bool,
        expected: &str,
    ) -> Result<()> {
        match numbers.iter().find(|&&number| !domain(number)) {
            None => Ok(()),
            Some(number) => Err(self.wrong(name, expected, &number.to_string())),
        }
    }
}

fn shape(len: usize, kind: &str) -> String {
    format!("{len} numbers ({kind})")
}

#[cfg(test)]
mod tests;
