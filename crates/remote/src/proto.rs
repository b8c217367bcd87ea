//! Just enough of protocol buffers: fields one after the other, without copies.

use crate::DecodeError;

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// Reads the fields of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

const CUT: DecodeError = DecodeError::Proto("the message is cut short");

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(DecodeError::Proto("a varint does not end"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.rest.split_at_checked(length).ok_or(CUT)?;
        self.rest = tail;
        Ok(head)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.rest.split_first_chunk().ok_or(CUT)?;
        self.rest = tail;
        Ok(*head)
    }

    /// The next field with its number; `None` at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| DecodeError::Proto("bad field number"))?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| CUT)?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err(DecodeError::Proto("a group or unknown wire type")),
        };
        Ok(Some((number, field)))
    }
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8], DecodeError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(DecodeError::Proto("expected a message or text")),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Proto("text is not UTF-8"))
    }

    pub(crate) fn number(self) -> Result<u64, DecodeError> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(DecodeError::Proto("expected a whole number")),
        }
    }

    pub(crate) fn int(self) -> Result<i64, DecodeError> {
        self.number().map(u64::cast_signed)
    }

    pub(crate) fn sint(self) -> Result<i64, DecodeError> {
        self.number().map(unzigzag)
    }

    pub(crate) fn double(self) -> Result<f64, DecodeError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(DecodeError::Proto("expected a double")),
        }
    }

    /// A repeated number, packed or not.
    pub(crate) fn numbers(self, each: &mut dyn FnMut(u64)) -> Result<(), DecodeError> {
        match self {
            Self::Varint(value) => each(value),
            Self::Bytes(bytes) => {
                let mut reader = Reader::new(bytes);
                while !reader.rest.is_empty() {
                    each(reader.varint()?);
                }
            }
            _ => return Err(DecodeError::Proto("expected whole numbers")),
        }
        Ok(())
    }

    /// A repeated double, packed or not.
    pub(crate) fn doubles(self, out: &mut Vec<f64>) -> Result<(), DecodeError> {
        match self {
            Self::Fixed64(bits) => out.push(f64::from_bits(bits)),
            Self::Bytes(bytes) => {
                let (values, []) = bytes.as_chunks::<8>() else {
                    return Err(DecodeError::Proto("packed doubles of odd length"));
                };
                out.extend(values.iter().map(|value| f64::from_le_bytes(*value)));
            }
            _ => return Err(DecodeError::Proto("expected doubles")),
        }
        Ok(())
    }
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Builds one message.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) out: Vec<u8>,
}

impl Writer {
    pub(crate) fn raw(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    fn key(&mut self, field: u32, wire: u64) {
        self.raw(u64::from(field) << 3 | wire);
    }

    /// Zero is not written, as in proto3.
    pub(crate) fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.key(field, 0);
            self.raw(value);
        }
    }

    pub(crate) fn int(&mut self, field: u32, value: i64) {
        self.number(field, value.cast_unsigned());
    }

    pub(crate) fn sint(&mut self, field: u32, value: i64) {
        self.number(field, zigzag(value));
    }

    pub(crate) fn double(&mut self, field: u32, value: f64) {
        if value.to_bits() != 0 {
            self.key(field, 1);
            self.out.extend_from_slice(&value.to_le_bytes());
        }
    }

    pub(crate) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, 2);
        self.raw(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, field: u32, text: &str) {
        if !text.is_empty() {
            self.bytes(field, text.as_bytes());
        }
    }

    pub(crate) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.out);
    }

    pub(crate) fn doubles(&mut self, field: u32, values: &[f64]) {
        if !values.is_empty() {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            self.bytes(field, &bytes);
        }
    }

    pub(crate) fn packed(&mut self, field: u32, values: impl IntoIterator<Item = u64>) {
        let mut inner = Self::default();
        for value in values {
            inner.raw(value);
        }
        if !inner.out.is_empty() {
            self.bytes(field, &inner.out);
        }
    }
}
