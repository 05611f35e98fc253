//! State dicts that old versions of `torch.save` wrote, read without running anything.
//!
//! A pickle is a program for a stack machine, and the danger is in what it may call. This machine knows the instructions
//! that a dict of tensors needs and two functions, which it does not call but recognises: making an ordered dict, and
//! describing a tensor by its storage. Everything else is an error.
//!
//! The file is five pickles (a magic number, a version, sizes, the dict, the list of storages) and then, for each storage,
//! its number of elements and their bytes.

use std::collections::BTreeMap;

/// Number that the file begins with.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Values nest this deep at most: names in a tuple in a dict.
const STACK: usize = 100_000;

/// A tensor of f32.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub(super) shape: Vec<u64>,
    /// Little-endian elements.
    pub(super) bytes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    None,
    Bool,
    Int(i64),
    /// An integer too long for one, as its bytes.
    Long(Vec<u8>),
    Text(String),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// `module name` of a function or class.
    Global(String),
    Storage {
        kind: String,
        key: String,
    },
    View {
        kind: String,
        key: String,
        offset: i64,
        shape: Vec<i64>,
        stride: Vec<i64>,
    },
    Mark,
}

/// The f32 tensors of a state dict, by name; whole numbers, which count training batches, are left out.
pub(super) fn state_dict(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, String> {
    let mut machine = Machine { bytes, at: 0 };
    if machine.pickle()? != Value::Long(MAGIC.to_vec()) {
        return Err("expected the magic number of an old torch.save, found another".to_owned());
    }
    if machine.pickle()? != Value::Int(1001) {
        return Err("expected version 1001 of torch.save's format, found another".to_owned());
    }
    machine.pickle()?;
    let (Value::Dict(entries), Value::List(keys)) = (machine.pickle()?, machine.pickle()?) else {
        return Err("expected a dict of tensors and a list of storages".to_owned());
    };
    let kinds: BTreeMap<&String, &String> = entries
        .iter()
        .filter_map(|(_, value)| match value {
            Value::View { key, kind, .. } => Some((key, kind)),
            _ => None,
        })
        .collect();
    let mut storages = BTreeMap::new();
    for key in &keys {
        let Value::Text(key) = key else { return Err("a storage's key is no text".to_owned()) };
        let kind = kinds.get(key).ok_or("a storage belongs to no tensor")?;
        let count = u64::from_le_bytes(machine.array()?);
        let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(element_bytes(kind)?));
        storages.insert(key, machine.take(length.ok_or("a storage of a type that is not known")?)?);
    }
    if machine.at != bytes.len() {
        return Err(format!("{} bytes follow the last storage", bytes.len() - machine.at));
    }
    let mut tensors = BTreeMap::new();
    for (name, value) in &entries {
        let (Value::Text(name), Value::View { kind, key, offset, shape, stride }) = (name, value) else {
            return Err("expected names and tensors only".to_owned());
        };
        if kind == "torch FloatStorage" {
            let storage =
                storages.get(key).ok_or_else(|| format!("{name}: its storage is not in the file"))?;
            tensors.insert(
                name.clone(),
                tensor(storage, *offset, shape, stride)
                    .ok_or_else(|| format!("{name}: expected its elements inside its storage"))?,
            );
        }
    }
    Ok(tensors)
}

fn element_bytes(kind: &str) -> Option<usize> {
    match kind {
        "torch FloatStorage" => Some(4),
        "torch LongStorage" => Some(8),
        _ => None,
    }
}

/// The elements of a view in the order of its indices; none when it reaches out of its storage.
fn tensor(storage: &[u8], offset: i64, shape: &[i64], stride: &[i64]) -> Option<Tensor> {
    if shape.len() != stride.len() {
        return None;
    }
    let elements = storage.len() / 4;
    let shape: Vec<u64> = shape.iter().map(|&side| u64::try_from(side).ok()).collect::<Option<_>>()?;
    let count = shape.iter().try_fold(1u64, |count, &side| count.checked_mul(side))?;
    if usize::try_from(count).ok()? > elements {
        return None;
    }
    let mut bytes = Vec::with_capacity(4 * count as usize);
    for index in 0..count {
        let (mut rest, mut place) = (index, offset);
        for (&side, &stride) in shape.iter().zip(stride).rev() {
            place = place.checked_add(stride.checked_mul((rest % side) as i64)?)?;
            rest /= side;
        }
        let start = usize::try_from(place).ok().filter(|&place| place < elements)?;
        bytes.extend_from_slice(&storage[4 * start..4 * start + 4]);
    }
    Some(Tensor { shape, bytes })
}

/// Reads one pickle after the other.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Machine<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or("the file ends too early")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "the file ends too early".to_owned())
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    fn text(&mut self, length: usize) -> Result<String, String> {
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| "a text is not UTF-8".to_owned())
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or("the file ends too early")?;
        let line = self.text(length)?;
        self.at += 1;
        Ok(line)
    }

    /// One pickle, up to its stop.
    fn pickle(&mut self) -> Result<Value, String> {
        let mut stack: Vec<Value> = Vec::new();
        let mut memo: BTreeMap<u32, Value> = BTreeMap::new();
        loop {
            let opcode = self.byte()?;
            let pushed = match opcode {
                0x80 => {
                    self.byte()?;
                    continue;
                }
                b'.' => return pop(&mut stack),
                b'q' => {
                    memo.insert(u32::from(self.byte()?), top(&stack)?.clone());
                    continue;
                }
                b'r' => {
                    memo.insert(u32::from_le_bytes(self.array()?), top(&stack)?.clone());
                    continue;
                }
                b'h' => known(&memo, u32::from(self.byte()?))?,
                b'j' => known(&memo, u32::from_le_bytes(self.array()?))?,
                b'N' => Value::None,
                0x88 | 0x89 => Value::Bool,
                b'K' => Value::Int(i64::from(self.byte()?)),
                b'M' => Value::Int(i64::from(u16::from_le_bytes(self.array()?))),
                b'J' => Value::Int(i64::from(i32::from_le_bytes(self.array()?))),
                0x8a => {
                    let length = usize::from(self.byte()?);
                    Value::Long(self.take(length)?.to_vec())
                }
                b'X' => {
                    let length = u32::from_le_bytes(self.array()?);
                    Value::Text(self.text(length as usize)?)
                }
                b'c' => Value::Global(format!("{} {}", self.line()?, self.line()?)),
                b'(' => Value::Mark,
                b')' => Value::Tuple(Vec::new()),
                b']' => Value::List(Vec::new()),
                b'}' => Value::Dict(Vec::new()),
                b't' => Value::Tuple(since_mark(&mut stack)?),
                0x85..=0x87 => {
                    let start =
                        stack.len().checked_sub(usize::from(opcode - 0x84)).ok_or("an empty stack")?;
                    Value::Tuple(stack.split_off(start))
                }
                b'a' => appended(&mut stack, 1)?,
                b'e' => {
                    let items = since_mark(&mut stack)?.into_iter();
                    let Value::List(mut list) = pop(&mut stack)? else {
                        return Err("appends to no list".into());
                    };
                    list.extend(items);
                    Value::List(list)
                }
                b's' => {
                    let (value, key) = (pop(&mut stack)?, pop(&mut stack)?);
                    with_items(pop(&mut stack)?, vec![key, value])?
                }
                b'u' => {
                    let items = since_mark(&mut stack)?;
                    with_items(pop(&mut stack)?, items)?
                }
                b'Q' => storage(pop(&mut stack)?)?,
                b'R' => {
                    let arguments = pop(&mut stack)?;
                    recognised(pop(&mut stack)?, arguments)?
                }
                // Attributes of a dict: versions of modules, which nothing needs.
                b'b' => {
                    pop(&mut stack)?;
                    pop(&mut stack)?
                }
                other => {
                    return Err(format!("expected a dict of tensors, found the instruction 0x{other:02x}"));
                }
            };
            stack.push(pushed);
            if stack.len() > STACK {
                return Err("nested too deep".to_owned());
            }
        }
    }
}

fn pop(stack: &mut Vec<Value>) -> Result<Value, String> {
    stack.pop().ok_or_else(|| "an empty stack".to_owned())
}

fn top(stack: &[Value]) -> Result<&Value, String> {
    stack.last().ok_or_else(|| "an empty stack".to_owned())
}

fn known(memo: &BTreeMap<u32, Value>, index: u32) -> Result<Value, String> {
    memo.get(&index).cloned().ok_or_else(|| format!("value {index} was never kept"))
}

fn since_mark(stack: &mut Vec<Value>) -> Result<Vec<Value>, String> {
    let mark = stack.iter().rposition(|value| *value == Value::Mark).ok_or("no mark on the stack")?;
    let items = stack.split_off(mark + 1);
    stack.pop();
    Ok(items)
}

fn appended(stack: &mut Vec<Value>, count: usize) -> Result<Value, String> {
    let start = stack.len().checked_sub(count).ok_or("an empty stack")?;
    let items = stack.split_off(start);
    let Value::List(mut list) = pop(stack)? else { return Err("appends to no list".to_owned()) };
    list.extend(items);
    Ok(Value::List(list))
}

fn with_items(dict: Value, items: Vec<Value>) -> Result<Value, String> {
    let Value::Dict(mut entries) = dict else { return Err("sets an item of no dict".to_owned()) };
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        entries.push((key, value));
    }
    Ok(Value::Dict(entries))
}

/// `('storage', class, key, place, elements, None)`.
fn storage(id: Value) -> Result<Value, String> {
    match id {
        Value::Tuple(parts) => match parts.as_slice() {
            [Value::Text(word), Value::Global(kind), Value::Text(key), ..] if word == "storage" => {
                Ok(Value::Storage { kind: kind.clone(), key: key.clone() })
            }
            _ => Err("expected a storage".to_owned()),
        },
        _ => Err("expected a storage".to_owned()),
    }
}

/// What a call would give, for the two that are known.
fn recognised(function: Value, arguments: Value) -> Result<Value, String> {
    let (Value::Global(name), Value::Tuple(arguments)) = (function, arguments) else {
        return Err("expected the call of a function".to_owned());
    };
    let integers = |value: &Value| match value {
        Value::Tuple(items) => {
            items.iter().map(|item| if let Value::Int(n) = item { Some(*n) } else { None }).collect()
        }
        _ => None,
    };
    match (name.as_str(), arguments.as_slice()) {
        ("collections OrderedDict", []) => Ok(Value::Dict(Vec::new())),
        (
            "torch._utils _rebuild_tensor_v2",
            [Value::Storage { kind, key }, Value::Int(offset), shape, stride, ..],
        ) => {
            let (shape, stride) = integers(shape).zip(integers(stride)).ok_or("a tensor without a shape")?;
            Ok(Value::View { kind: kind.clone(), key: key.clone(), offset: *offset, shape, stride })
        }
        _ => Err(format!("refused to call {}", name.replace(' ', "."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.save({"w": 2 x 2 floats}, file, _use_new_zipfile_serialization=False)`, written out.
    fn file(call: &str, kind: &str) -> Vec<u8> {
        file_with(call, kind, *b"K\x02K\x01")
    }

    fn file_with(call: &str, kind: &str, stride: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![0x80, 2, 0x8a, 10];
        bytes.extend(MAGIC);
        bytes.extend(b".\x80\x02M\xe9\x03.\x80\x02}q\x00.");
        bytes.extend(b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(X\x01\x00\x00\x00w");
        bytes.extend(format!("c{call}\n((X\x07\x00\x00\x00storagec{kind}\n").bytes());
        bytes.extend(b"X\x01\x00\x00\x007X\x03\x00\x00\x00cpuK\x04NtQK\x00K\x02K\x02\x86");
        bytes.extend(stride);
        bytes.extend(b"\x86\x89h\x00)RtRu.");
        bytes.extend(b"\x80\x02]q\x00X\x01\x00\x00\x007a.");
        bytes.extend(4u64.to_le_bytes());
        bytes.extend([1.0f32, 2.0, 3.0, -4.5].iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    const REBUILD: &str = "torch._utils\n_rebuild_tensor_v2";
    const FLOAT: &str = "torch\nFloatStorage";

    #[test]
    fn tensors_are_read_with_their_shape() {
        let found = state_dict(&file(REBUILD, FLOAT)).unwrap();
        let expected = [1.0f32, 2.0, 3.0, -4.5].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(found, BTreeMap::from([("w".to_owned(), Tensor { shape: vec![2, 2], bytes: expected })]));
    }

    #[test]
    fn turned_views_are_put_in_order_and_none_leaves_its_storage() {
        let found = state_dict(&file_with(REBUILD, FLOAT, *b"K\x01K\x02")).unwrap();
        let expected: Vec<u8> =
            [1.0f32, 3.0, 2.0, -4.5].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(found["w"].bytes, expected);
        let error = state_dict(&file_with(REBUILD, FLOAT, *b"K\x03K\x02")).unwrap_err();
        assert_eq!(error, "w: expected its elements inside its storage");
    }

    #[test]
    fn nothing_is_called() {
        let error = state_dict(&file("os\nsystem", FLOAT)).unwrap_err();
        assert_eq!(error, "refused to call os.system");
        assert!(state_dict(&file(REBUILD, "torch\nHalfStorage")).unwrap_err().contains("type"));
    }

    #[test]
    fn cut_and_changed_files_are_errors() {
        let whole = file(REBUILD, FLOAT);
        for length in 0..whole.len() {
            assert!(state_dict(&whole[..length]).is_err(), "cut after {length} bytes");
        }
        for at in 0..whole.len() - 16 {
            for value in [0, 0xff, whole[at] ^ 0x80] {
                let mut changed = whole.clone();
                changed[at] = value;
                // An error or some tensors, no panic.
                let _ = state_dict(&changed);
            }
        }
    }
}
