//! Files whose compressed parts become far larger than their header says.

use flate2::{Compression, Crc, FlushCompress};

use super::samples::{png, quarters, upload};
use crate::support::{
    Database,
    binary::{Server, directory},
};

const MB: u64 = 1024 * 1024;
/// Of what the bombs become.
const BOMB: u64 = 1400 * MB;

pub fn chunk(name: [u8; 4], content: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(&name);
    crc.update(content);
    let length = u32::try_from(content.len()).unwrap();
    [&length.to_be_bytes()[..], &name, content, &crc.sum().to_be_bytes()].concat()
}

/// A whole zlib stream of zeros. A block that ends with a full flush can be repeated.
fn zlib_bomb() -> Vec<u8> {
    let zeros = vec![0; usize::try_from(MB).unwrap()];
    let mut block = Vec::with_capacity(zeros.len());
    let mut compress = flate2::Compress::new(Compression::best(), false);
    compress.compress_vec(&zeros, &mut block, FlushCompress::Full).unwrap();
    assert_eq!(compress.total_in(), MB);
    let blocks = block.repeat(usize::try_from(BOMB / MB).unwrap());
    // Adler-32 of zeros (RFC 1950).
    let checksum = u32::try_from(BOMB % 65_521).unwrap() << 16 | 1;
    [&[0x78, 0xda][..], &blocks, &[3, 0], &checksum.to_be_bytes()].concat()
}

/// A picture of 64 × 64 pixels with this chunk before its content.
fn with_chunk(name: [u8; 4], content: &[u8]) -> Vec<u8> {
    let mut file = png(&quarters(64, 64), 1);
    // After the signature and IHDR.
    let added = chunk(name, content);
    file.splice(33..33, added);
    file
}

/// A picture whose content goes on behind its last line.
fn with_long_content() -> Vec<u8> {
    let side = 64_u32;
    let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let content = zlib_bomb();
    [&b"\x89PNG\r\n\x1a\n"[..], &chunk(*b"IHDR", &header), &chunk(*b"IDAT", &content), &chunk(*b"IEND", &[])]
        .concat()
}

#[tokio::test]
async fn what_a_bomb_becomes_is_neither_kept_nor_waited_for() {
    let (home, database) = (directory(), Database::create());
    let url = database.url();
    let server = Server::start(home.path(), &[("DATABASE_URL", url.expose())]);
    server.register("ada@example.com").await;
    let user = server.log_in("ada@example.com").await;
    // The memory that a picture of the largest size needs is no news.
    upload(&user, "image/png", png(&quarters(2048, 2048), 1)).await.assert(200);
    let before = server.peak_memory();
    let bomb = zlib_bomb();
    assert!(bomb.len() < 2_000_000, "{} bytes are too many for an upload", bomb.len());
    for (name, file) in [
        ("IDAT", with_long_content()),
        ("iCCP", with_chunk(*b"iCCP", &[b"profile\0\0", &bomb[..]].concat())),
        ("zTXt", with_chunk(*b"zTXt", &[b"Comment\0\0", &bomb[..]].concat())),
        ("iTXt", with_chunk(*b"iTXt", &[b"Comment\0\x01\0en\0Comment\0", &bomb[..]].concat())),
    ] {
        // The picture in front of it is one like others: what is behind it is not read to the end.
        let response = upload(&user, "image/png", file).await;
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        let more = server.peak_memory() - before;
        assert!(more < 100 * MB, "{name}: {} MB more", more / MB);
    }
}
