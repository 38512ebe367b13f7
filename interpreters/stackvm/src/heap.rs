//! The arrays of a machine. They live as long as it does: there is no collector, only a limit.

use crate::error::VmError;
use crate::value::{ArrayId, Value};
use metatrace::jit;

/// Elements that all arrays together may have, each array counted as two more.
const MAX_CELLS: usize = 1 << 24;

/// What an array counts for, beside its elements.
const CELLS_PER_ARRAY: usize = 2;

#[jit]
#[derive(Debug, Default)]
pub(crate) struct Heap {
    arrays: Vec<Vec<Value>>,
    cells: usize,
}

#[jit]
impl Heap {
    /// A new array of nils.
    #[jit::dont_look_inside]
    pub(crate) fn allocate(&mut self, length: i64) -> Result<ArrayId, VmError> {
        if length < 0 {
            return Err(VmError::NegativeLength(length));
        }
        // The limit also keeps the numbers of arrays within 32 bits, and a length that is within it within a usize.
        let free = MAX_CELLS - self.cells;
        if length as u64 + CELLS_PER_ARRAY as u64 > free as u64 {
            return Err(VmError::ArraySpace);
        }
        let id = ArrayId(self.arrays.len() as u32);
        self.cells += length as usize + CELLS_PER_ARRAY;
        self.arrays.push(vec![Value::Nil; length as usize]);
        Ok(id)
    }

    pub(crate) fn get(&self, array: ArrayId, index: i64) -> Result<Value, VmError> {
        let elements = &self.arrays[array.0 as usize];
        let slot = element(index, elements.len())?;
        Ok(elements[slot])
    }

    pub(crate) fn set(&mut self, array: ArrayId, index: i64, value: Value) -> Result<(), VmError> {
        let elements = &mut self.arrays[array.0 as usize];
        let slot = element(index, elements.len())?;
        elements[slot] = value;
        Ok(())
    }

    pub(crate) fn length(&self, array: ArrayId) -> usize {
        self.arrays[array.0 as usize].len()
    }
}

impl Heap {
    /// The elements, for printing.
    pub(crate) fn elements(&self, array: ArrayId) -> &[Value] {
        &self.arrays[array.0 as usize]
    }
}

/// `index` as an index of an array of `length`.
#[jit]
fn element(index: i64, length: usize) -> Result<usize, VmError> {
    if index < 0 || index as usize >= length {
        return Err(VmError::Index { index, length });
    }
    Ok(index as usize)
}
