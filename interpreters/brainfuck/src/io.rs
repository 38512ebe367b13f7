//! A program's input and output, both buffered.
//!
//! Output waits in a buffer until that is full, until the program asks for input that has to be fetched (so a prompt
//! appears before the question is answered), or until [`Io::flush`].

use crate::error::Error;
use metatrace::jit;
use std::io::{BufReader, Read, Write};

/// Bytes of output after which they are written.
const OUTPUT_BUFFER: usize = 8 * 1024;

/// The two streams of a running program.
pub struct Io {
    input: BufReader<Box<dyn Read>>,
    /// Output not written yet.
    output: Vec<u8>,
    /// Where it goes; without one it is kept.
    sink: Option<Box<dyn Write>>,
}

impl Io {
    /// Reads from `input`, writes to `output`.
    pub fn new(input: impl Read + 'static, output: impl Write + 'static) -> Io {
        Io {
            input: BufReader::new(Box::new(input)),
            output: Vec::new(),
            sink: Some(Box::new(output)),
        }
    }

    /// Reads `input` and keeps all output for [`Io::into_output`].
    pub fn in_memory(input: &[u8]) -> Io {
        let input: Box<dyn Read> = Box::new(std::io::Cursor::new(input.to_vec()));
        Io {
            input: BufReader::new(input),
            output: Vec::new(),
            sink: None,
        }
    }

    /// Writes all output to its destination.
    ///
    /// # Errors
    /// [`Error::Output`]; what could not be written is lost.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.write_pending()?;
        match &mut self.sink {
            Some(sink) => sink.flush().map_err(Error::Output),
            None => Ok(()),
        }
    }

    /// The output that has not been written: all of it after [`Io::in_memory`].
    pub fn into_output(self) -> Vec<u8> {
        self.output
    }

    fn write_pending(&mut self) -> Result<(), Error> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        let written = sink.write_all(&self.output);
        self.output.clear();
        written.map_err(Error::Output)
    }
}

#[jit]
impl Io {
    /// Outputs one byte.
    ///
    /// # Errors
    /// [`Error::Output`] when the buffer was full and could not be written.
    #[jit::dont_look_inside]
    pub fn put(&mut self, byte: u8) -> Result<(), Error> {
        self.output.push(byte);
        if self.output.len() >= OUTPUT_BUFFER {
            self.write_pending()
        } else {
            Ok(())
        }
    }

    /// The next byte of input; 0 at its end.
    ///
    /// # Errors
    /// [`Error::Input`] when it cannot be read, [`Error::Output`] when pending output could not be written first.
    #[jit::dont_look_inside]
    pub fn get(&mut self) -> Result<u8, Error> {
        if self.input.buffer().is_empty() {
            self.flush()?;
        }
        match self.input.by_ref().bytes().next() {
            Some(byte) => byte.map_err(Error::Input),
            None => Ok(0),
        }
    }
}
