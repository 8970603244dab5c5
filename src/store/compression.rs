//! Compressed files: gzip and Zstandard, recognised by their first bytes when read and by the file's name when written.
//!
//! Knows no content.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use ruzstd::decoding::FrameDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::regular_file;

/// The bytes of a file, decompressed if needed.
pub(super) struct DecompressedReader {
    inner: Decoder,
    /// Whether a compressed stream ended early: a torn file. The bytes before are complete.
    pub(super) is_torn: bool,
}

/// The bytes of a file, or of an object in a store, before decompression.
type CompressedSource = BufReader<Box<dyn Read + Send>>;

enum Decoder {
    Plain(CompressedSource),
    Gzip(Box<MultiGzDecoder<CompressedSource>>),
    Zstandard(Box<Frames>),
}

impl DecompressedReader {
    /// Opens a file and checks its first bytes.
    pub(super) fn open(path: &Path) -> io::Result<DecompressedReader> {
        DecompressedReader::new(Box::new(regular_file::open_argument(path)?))
    }

    /// Checks the first bytes.
    pub(super) fn new(source: Box<dyn Read + Send>) -> io::Result<DecompressedReader> {
        let mut file = BufReader::with_capacity(1 << 18, source);
        let head = file.fill_buf()?;
        let inner = if head.starts_with(&[0x1f, 0x8b]) {
            Decoder::Gzip(Box::new(MultiGzDecoder::new(file)))
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Decoder::Zstandard(Box::new(Frames {
                source: file,
                decoder: FrameDecoder::new(),
                is_open: false,
            }))
        } else {
            Decoder::Plain(file)
        };
        Ok(DecompressedReader { inner, is_torn: false })
    }

    /// Whether the file has no bytes left, so that a decoder's error means that it was cut.
    fn is_at_end(&mut self) -> bool {
        let source = match &mut self.inner {
            Decoder::Plain(file) => file,
            Decoder::Gzip(decoder) => decoder.get_mut(),
            Decoder::Zstandard(frames) => &mut frames.source,
        };
        source.fill_buf().is_ok_and(<[u8]>::is_empty)
    }
}

impl Read for DecompressedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_torn {
            return Ok(0);
        }
        let result = match &mut self.inner {
            Decoder::Plain(file) => return file.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Zstandard(frames) => frames.read(buffer),
        };
        match result {
            Err(error) if error.kind() != io::ErrorKind::Interrupted && self.is_at_end() => {
                self.is_torn = true;
                Ok(0)
            }
            other => other,
        }
    }
}

/// A file of consecutive Zstandard frames, as `zstd` writes them for concatenated input, and as mdetag writes them.
struct Frames {
    source: CompressedSource,
    decoder: FrameDecoder,
    is_open: bool,
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use ruzstd::decoding::BlockDecodingStrategy::UptoBytes;
        use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
        loop {
            if self.is_open {
                while self.decoder.can_collect() < buffer.len() && !self.decoder.is_finished() {
                    self.decoder
                        .decode_blocks(&mut self.source, UptoBytes(buffer.len()))
                        .map_err(io::Error::other)?;
                }
                let count = self.decoder.read(buffer)?;
                if count > 0 || buffer.is_empty() {
                    return Ok(count);
                }
                self.is_open = false;
                let (expected, found) =
                    (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum());
                if expected.is_some() && found.is_some() && expected != found {
                    let message = "the compressed data does not match its checksum";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
            }
            if self.source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            match self.decoder.reset(&mut self.source) {
                Ok(()) => self.is_open = true,
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut (&mut self.source).take(u64::from(length)), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

/// Compresses by the file's name: `.gz`, `.zst`, or not at all.
pub(super) enum CompressedWriter<W: Write> {
    Plain(BufWriter<W>),
    Gzip(Box<GzEncoder<BufWriter<W>>>),
    /// Zstandard, with a frame every few megabytes, because the encoder compresses what is in memory.
    Zstandard(BufWriter<W>, Vec<u8>),
}

/// Bytes of a Zstandard frame.
const FRAME: usize = 4 << 20;

impl<W: Write> CompressedWriter<W> {
    /// The compression for a file of this name.
    pub(super) fn new(path: &Path, target: W) -> CompressedWriter<W> {
        let target = BufWriter::with_capacity(1 << 18, target);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => CompressedWriter::Gzip(Box::new(GzEncoder::new(target, Compression::fast()))),
            Some("zst") => CompressedWriter::Zstandard(target, Vec::new()),
            _ => CompressedWriter::Plain(target),
        }
    }

    /// Writes the rest and returns the target.
    pub(super) fn finish(self) -> io::Result<W> {
        let target = match self {
            CompressedWriter::Plain(target) => target,
            CompressedWriter::Gzip(encoder) => encoder.finish()?,
            CompressedWriter::Zstandard(mut target, pending) => {
                if !pending.is_empty() {
                    target.write_all(&compress_to_vec(pending.as_slice(), CompressionLevel::Fastest))?;
                }
                target
            }
        };
        target.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

impl<W: Write> Write for CompressedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            CompressedWriter::Plain(target) => target.write(bytes),
            CompressedWriter::Gzip(encoder) => encoder.write(bytes),
            CompressedWriter::Zstandard(target, pending) => {
                pending.extend_from_slice(bytes);
                if pending.len() >= FRAME {
                    target.write_all(&compress_to_vec(pending.as_slice(), CompressionLevel::Fastest))?;
                    pending.clear();
                }
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            CompressedWriter::Plain(target) | CompressedWriter::Zstandard(target, _) => target.flush(),
            CompressedWriter::Gzip(encoder) => encoder.flush(),
        }
    }
}
