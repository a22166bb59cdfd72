//! Compressed batches: they are opened where something has to be known of every record, and nowhere else.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::io::Read;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::LogError;
use super::batch::{self, HEADER, Header, Records};

const GZIP: i16 = 1;
const SNAPPY: i16 = 2;
const LZ4: i16 = 3;
const ZSTD: i16 = 4;

/// Bytes of records that one batch is opened to, so that a small one cannot take all memory. What one block of zstd
/// unfolds to is not bounded by the decoder: a block that no encoder writes could take more for a moment.
const MOST: usize = 64 * 1024 * 1024;
/// The largest window that an encoder of zstd takes unless it is told to take more.
const ZSTD_WINDOW: u64 = 128 * 1024 * 1024;
/// The start of snappy's blocks as Java frames them; after it come two numbers of versions, of four bytes each.
const XERIAL: &[u8] = b"\x82SNAPPY\0";
const XERIAL_VERSIONS: usize = 8;

/// Reason why a compressed batch cannot be opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unopened {
    UnknownCodec(i16),
    /// The codec makes nothing of it.
    Damaged {
        codec: &'static str,
        why: String,
    },
    /// There are more bytes of records than this.
    TooLarge(usize),
    /// The number of records differs from the header's.
    OtherRecords,
}

impl Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCodec(codec) => {
                write!(
                    f,
                    "there is no codec {codec}, only 1 (gzip), 2 (snappy), 3 (lz4) and 4 (zstd)"
                )
            }
            Self::Damaged { codec, why } => {
                write!(f, "its data is not what {codec} writes: {why}")
            }
            Self::TooLarge(most) => write!(f, "it holds more than {most} bytes of records"),
            Self::OtherRecords => f.write_str("it does not hold the records its header counts"),
        }
    }
}

/// Gives the answer to a client whose batch must be opened and cannot be.
impl From<Unopened> for LogError {
    fn from(why: Unopened) -> Self {
        match why {
            Unopened::TooLarge(_) => Self::TooLarge,
            _ => Self::InvalidRecord,
        }
    }
}

/// Returns the batch with its records uncompressed, all of them readable; one that is not compressed as it is.
pub(crate) fn opened<'a>(batch: &'a [u8], header: &Header) -> Result<Cow<'a, [u8]>, Unopened> {
    opened_up_to(batch, header, MOST)
}

fn opened_up_to<'a>(
    batch: &'a [u8],
    header: &Header,
    most: usize,
) -> Result<Cow<'a, [u8]>, Unopened> {
    if header.codec() == 0 {
        return Ok(Cow::Borrowed(batch));
    }
    let (head, packed) = batch.split_at(HEADER);
    let mut out = Opened {
        bytes: head.to_vec(),
        end: HEADER + most,
    };
    match header.codec() {
        GZIP => out.read("gzip", MultiGzDecoder::new(packed))?,
        SNAPPY => out.snappy(packed)?,
        LZ4 => out.read("lz4", lz4_flex::frame::FrameDecoder::new(packed))?,
        ZSTD => out.zstd(packed)?,
        other => return Err(Unopened::UnknownCodec(other)),
    }
    let mut batch = out.bytes;
    batch::stamp_codec(&mut batch, 0);
    match holds_its_records(&batch) {
        true => Ok(Cow::Owned(batch)),
        false => Err(Unopened::OtherRecords),
    }
}

/// Returns whether the records that the header counts can be read, and nothing comes after them.
fn holds_its_records(batch: &[u8]) -> bool {
    let mut size = HEADER;
    for record in Records::of(batch) {
        let Ok(record) = record else { return false };
        size += record.bytes.len();
    }
    size == batch.len()
}

/// A batch that is being opened.
struct Opened {
    bytes: Vec<u8>,
    /// It may not grow beyond this.
    end: usize,
}

impl Opened {
    fn too_large(&self) -> Unopened {
        Unopened::TooLarge(self.end - HEADER)
    }

    fn read(&mut self, codec: &'static str, reader: impl Read) -> Result<(), Unopened> {
        // One byte more than there is room for shows that there are more.
        let most = self.end - self.bytes.len() + 1;
        reader
            .take(most as u64)
            .read_to_end(&mut self.bytes)
            .map_err(|error| damaged(codec, error))?;
        match self.bytes.len() > self.end {
            true => Err(self.too_large()),
            false => Ok(()),
        }
    }

    /// Blocks as Java frames them, or one without a frame, which librdkafka and others write.
    fn snappy(&mut self, packed: &[u8]) -> Result<(), Unopened> {
        let framed = packed
            .strip_prefix(XERIAL)
            .and_then(|it| it.get(XERIAL_VERSIONS..));
        let Some(mut blocks) = framed else {
            return self.snappy_block(packed);
        };
        while !blocks.is_empty() {
            let (block, rest) = blocks
                .split_first_chunk()
                .and_then(|(size, rest)| rest.split_at_checked(u32::from_be_bytes(*size) as usize))
                .ok_or_else(|| damaged("snappy", "a block is cut off"))?;
            self.snappy_block(block)?;
            blocks = rest;
        }
        Ok(())
    }

    fn snappy_block(&mut self, packed: &[u8]) -> Result<(), Unopened> {
        let bad = |error| damaged("snappy", error);
        let size = snap::raw::decompress_len(packed).map_err(bad)?;
        let start = self.bytes.len();
        if size > self.end - start {
            return Err(self.too_large());
        }
        self.bytes.resize(start + size, 0);
        let written = snap::raw::Decoder::new()
            .decompress(packed, &mut self.bytes[start..])
            .map_err(bad)?;
        self.bytes.truncate(start + written);
        Ok(())
    }

    /// One frame after the other.
    fn zstd(&mut self, mut packed: &[u8]) -> Result<(), Unopened> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW);
        while !packed.is_empty() {
            let frame = StreamingDecoder::new_with_decoder(&mut packed, &mut decoder)
                .map_err(|error| damaged("zstd", error))?;
            self.read("zstd", frame)?;
        }
        Ok(())
    }
}

fn damaged(codec: &'static str, why: impl Display) -> Unopened {
    Unopened::Damaged {
        codec,
        why: why.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::super::batch::tests::{NOBODY, batch_of};
    use super::*;

    /// Codec and framing with which a client compresses its records.
    #[derive(Debug, Clone, Copy, PartialEq)]
    pub(crate) enum Packer {
        Gzip,
        Snappy,
        FramedSnappy,
        Lz4,
        Zstd,
    }

    pub(crate) const PACKERS: [Packer; 5] = [
        Packer::Gzip,
        Packer::Snappy,
        Packer::FramedSnappy,
        Packer::Lz4,
        Packer::Zstd,
    ];

    /// The batch as a client sends it that packs its records.
    pub(crate) fn packed(batch: &[u8], packer: Packer) -> Vec<u8> {
        let data = &batch[HEADER..];
        let snappy = |data: &[u8]| snap::raw::Encoder::new().compress_vec(data).unwrap();
        let (codec, data) = match packer {
            Packer::Gzip => {
                let level = flate2::Compression::default();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(data).unwrap();
                (GZIP, encoder.finish().unwrap())
            }
            Packer::Snappy => (SNAPPY, snappy(data)),
            Packer::FramedSnappy => {
                let mut out = [XERIAL, &[0, 0, 0, 1, 0, 0, 0, 1]].concat();
                for block in data.chunks(32 * 1024) {
                    let block = snappy(block);
                    out.extend_from_slice(&(block.len() as u32).to_be_bytes());
                    out.extend_from_slice(&block);
                }
                (SNAPPY, out)
            }
            Packer::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(data).unwrap();
                (LZ4, encoder.finish().unwrap())
            }
            Packer::Zstd => {
                let level = ruzstd::encoding::CompressionLevel::Fastest;
                (ZSTD, ruzstd::encoding::compress_to_vec(data, level))
            }
        };
        with_data(batch, codec, &data)
    }

    /// The batch with this in the place of its records, as if this codec had written it.
    pub(crate) fn with_data(batch: &[u8], codec: i16, data: &[u8]) -> Vec<u8> {
        let mut out = [&batch[..HEADER], data].concat();
        batch::stamp_codec(&mut out, codec);
        out
    }

    fn open(batch: &[u8], most: usize) -> Result<Vec<u8>, Unopened> {
        let header = Header::read(batch).unwrap();
        opened_up_to(batch, &header, most).map(Cow::into_owned)
    }

    /// Twelve records that have something in common.
    fn many() -> Vec<u8> {
        let records: Vec<_> = (0..12)
            .map(|at| {
                let value = format!("value {at} of many, ").repeat(at + 1);
                (format!("key {at}"), value)
            })
            .collect();
        let records: Vec<_> = records
            .iter()
            .map(|(key, value)| (Some(key.as_str()), Some(value.as_str())))
            .collect();
        batch_of(NOBODY, 1000, &records)
    }

    #[test]
    fn what_each_codec_packs_is_opened_to_the_batch_it_was() {
        let long = "a value, or two, ".repeat(20_000);
        let large = batch_of(NOBODY, 1000, &[(Some("k"), Some(&long)), (None, None)]);
        for batch in [many(), large] {
            assert_eq!(open(&batch, MOST), Ok(batch.clone()));
            for packer in PACKERS {
                let packed = packed(&batch, packer);
                assert!(packed.len() < batch.len() / 2, "{packer:?}");
                assert!(open(&packed, MOST) == Ok(batch.clone()), "{packer:?}");
                let data = batch.len() - HEADER;
                assert!(open(&packed, data) == Ok(batch.clone()), "{packer:?}");
                assert_eq!(
                    open(&packed, data - 1),
                    Err(Unopened::TooLarge(data - 1)),
                    "{packer:?}"
                );
            }
        }
    }

    /// The records of `many` as `zstd -3`, `lz4 -1` and `gzip -9` pack them.
    const ZSTD_DATA: &str = "\
        28b52ffd0458cd060072881f2a7055d318bc551d7fb9e28748efef99e9f7276fc3064f96ab7e03a9898808653aeb6bb75b27\
        26d82d770a4fce44bc0c9fd232cd05bb4f3abcccbc8136c32bc05a472bbc86677ac908af9ab1004c7aa57c7daee863686b63\
        0d3e7aae62a5127cc44c7954e027cfc5d467bc0af0c139d683ecb45da4c14912d382dd17fd5a2b2040c399720d3c0aceeb87\
        b18d55ac18051a622edea120d4820413abb4f5a5806e1267b6e5a4105dcc405cd52788ae12dfdbe228a0fbc4a6b64602e822\
        71856d811c28bc21700cdbca00ba3738eaa57446780571403b9ec1c08a24";
    const LZ4_DATA: &str = "\
        04224d186440a716010000f112380000000a6b657920302276616c75652030206f66206d616e792c20005a0000021d002231\
        441d0016311d000d110051007c0000042e002232661d001c322e000f1100096100a00100000640003233880141001c334100\
        0f11001a6100c20100000852002334aa52001c3452000f11002b6100e40100000a63002335cc63001c3563000f11003c6100\
        860200000c74002336ee74001c3674000f11004d6100a80200000e850032379002ae011c3785000f11005e6100ca02000010\
        96002338b296001c3896000f11006f6100ec02000012a7002339d4a7001c39a7000f1100807000a6030000140c2e04423130\
        8c03f601173131040f1200a16200ca03000016d5002431b0d5000ee9040f1200a8506e792c2000000000000da04f52";
    const GZIP_DATA: &str = "\
        1f8b0800000000000203b3606060e0ca4ead5430502a4bcc294d553050c84f53c84dccabd4516088626060024b1aba40240d\
        119218020c350c0c2c60d5466910492374d5f8041816303230b081f51b773042a48dd1d59324c07008682207d84493555013\
        4dd0d55326c0f004680517d80ad333502b4cd1d5535980a18d898181076ca7d93ba89d66e8ea692dc0b002e8083eb023cc27\
        3041a4cdd1d5d35d80e114d055026057596c82baca025dfdc00b30bc013a5308ec4ccb2b50675aa2ab1f84020ccb98191844\
        78c00582410f33b40430c02813869408c329a0a7c4209e32dc00f314664137c44518003d818518e9050000";

    #[test]
    fn what_the_tools_of_the_codecs_write_is_opened() {
        for (codec, data) in [(ZSTD, ZSTD_DATA), (LZ4, LZ4_DATA), (GZIP, GZIP_DATA)] {
            let data: Vec<u8> = (0..data.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&data[at..at + 2], 16).unwrap())
                .collect();
            assert_eq!(open(&with_data(&many(), codec, &data), MOST), Ok(many()));
        }
    }

    #[test]
    fn a_few_bytes_that_claim_to_be_very_many_take_no_memory() {
        let claim = [0x81, 0x80, 0x80, 0x20, 0];
        assert_eq!(snap::raw::decompress_len(&claim), Ok(MOST + 1));
        let framed = [XERIAL, &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 5], &claim].concat();
        for data in [&claim[..], &framed] {
            assert_eq!(
                open(&with_data(&many(), SNAPPY, data), MOST),
                Err(Unopened::TooLarge(MOST))
            );
        }
        // A window of a terabyte.
        let window = [0x28, 0xb5, 0x2f, 0xfd, 0, 30 << 3, 1, 0, 0];
        let refused = open(&with_data(&many(), ZSTD, &window), MOST);
        assert!(matches!(
            refused,
            Err(Unopened::Damaged { codec: "zstd", .. })
        ));
    }

    #[test]
    fn what_is_no_whole_batch_of_records_is_not_opened() {
        for codec in 5..8 {
            let refused = open(&with_data(&many(), codec, &many()[HEADER..]), MOST);
            assert_eq!(refused, Err(Unopened::UnknownCodec(codec)));
        }
        for packer in PACKERS {
            let good = packed(&many(), packer);
            let codec = Header::read(&good).unwrap().codec();
            for end in HEADER..good.len() - 8 {
                let cut = with_data(&good, codec, &good[HEADER..end]);
                assert!(open(&cut, MOST).is_err(), "{packer:?} up to {end}");
            }
            for (count, bytes) in [(11, 0), (13, 0), (12, 1)] {
                let mut other = [&many()[..], &vec![0; bytes]].concat();
                other[57..61].copy_from_slice(&i32::to_be_bytes(count));
                assert_eq!(
                    open(&packed(&other, packer), MOST),
                    Err(Unopened::OtherRecords),
                    "{packer:?}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn damage_is_an_error_and_no_panic(
            packer in proptest::sample::select(&PACKERS[..]),
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut batch = packed(&many(), packer);
            for (at, byte) in damage {
                let at = HEADER + at.index(batch.len() - HEADER);
                batch[at] = byte;
            }
            if let Ok(opened) = open(&batch, MOST) {
                prop_assert!(holds_its_records(&opened) && batch::is_intact(&opened));
            }
        }
    }
}
