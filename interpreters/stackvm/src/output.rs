//! What a program prints, buffered: lines are written when enough of them have gathered, and by [`Output::flush`].

use crate::error::VmError;
use std::io::{Error, Write};

/// Bytes of output after which they are written.
const BUFFER: usize = 8 * 1024;

/// The output stream of a machine.
pub struct Output {
    /// Lines not written yet.
    pending: Vec<u8>,
    /// Where they go; without one they are kept.
    sink: Option<Box<dyn Write>>,
}

impl Output {
    /// Writes to `sink`.
    pub fn new(sink: impl Write + 'static) -> Output {
        Output {
            pending: Vec::new(),
            sink: Some(Box::new(sink)),
        }
    }

    /// Keeps all output for [`Output::into_bytes`].
    pub fn in_memory() -> Output {
        Output {
            pending: Vec::new(),
            sink: None,
        }
    }

    /// Outputs `text` and the end of a line.
    ///
    /// # Errors
    /// [`VmError::Output`] when the buffer was full and could not be written.
    pub fn print_line(&mut self, text: &str) -> Result<(), VmError> {
        self.pending.extend_from_slice(text.as_bytes());
        self.pending.push(b'\n');
        if self.pending.len() >= BUFFER {
            self.write_pending()
        } else {
            Ok(())
        }
    }

    /// Writes all output to its destination.
    ///
    /// # Errors
    /// [`VmError::Output`]; what could not be written is lost.
    pub fn flush(&mut self) -> Result<(), VmError> {
        self.write_pending()?;
        match &mut self.sink {
            Some(sink) => sink.flush().map_err(failed),
            None => Ok(()),
        }
    }

    /// The output that has not been written: all of it after [`Output::in_memory`].
    pub fn into_bytes(self) -> Vec<u8> {
        self.pending
    }

    fn write_pending(&mut self) -> Result<(), VmError> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        let written = sink.write_all(&self.pending);
        self.pending.clear();
        written.map_err(failed)
    }
}

fn failed(error: Error) -> VmError {
    VmError::Output(error.kind())
}
