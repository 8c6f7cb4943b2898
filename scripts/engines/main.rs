//! Which engine carries the embedded store: commits per second of redb, fjall and a plain log on
//! the disk of a folder, for groups of 1, 32 and 128 values of 2,500 bytes, each group synced once.
//! Figures and the choice: docs/adr/0006. Run by `scripts/engines/run FOLDER`.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use redb::{ReadableDatabase, TableDefinition};

const VALUE_BYTES: usize = 2_500;
const SECONDS: u64 = 4;
const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("revisions");

/// Something that makes a group of revisions durable.
trait Engine {
    fn name(&self) -> &'static str;
    /// Returns once all of `group` would survive a loss of power.
    fn commit(&mut self, group: &[(u64, Vec<u8>)]) -> Result<()>;
    fn get(&self, revision: u64) -> Result<usize>;
}

struct Redb(redb::Database);

impl Engine for Redb {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn commit(&mut self, group: &[(u64, Vec<u8>)]) -> Result<()> {
        let write = self.0.begin_write()?;
        {
            let mut table = write.open_table(TABLE)?;
            for (revision, value) in group {
                table.insert(revision.to_be_bytes().as_slice(), value.as_slice())?;
            }
        }
        write.commit()?;
        Ok(())
    }

    fn get(&self, revision: u64) -> Result<usize> {
        let read = self.0.begin_read()?;
        let table = read.open_table(TABLE)?;
        let value = table.get(revision.to_be_bytes().as_slice())?.context("missing")?;
        Ok(value.value().len())
    }
}

struct Fjall(Database, Keyspace);

impl Engine for Fjall {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn commit(&mut self, group: &[(u64, Vec<u8>)]) -> Result<()> {
        let mut batch = self.0.batch();
        for (revision, value) in group {
            batch.insert(&self.1, revision.to_be_bytes(), value.as_slice());
        }
        batch.commit()?;
        self.0.persist(PersistMode::SyncData)?;
        Ok(())
    }

    fn get(&self, revision: u64) -> Result<usize> {
        Ok(self.1.get(revision.to_be_bytes())?.context("missing")?.len())
    }
}

/// Frames with a checksum, written into space that was written once before, so that a sync has no
/// metadata to write. Reads need the place of each value: 16 bytes in memory.
struct Log {
    file: File,
    end: u64,
    ready: u64,
    places: Vec<(u64, usize)>,
}

const STEP: u64 = 4 << 20;

impl Engine for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    fn commit(&mut self, group: &[(u64, Vec<u8>)]) -> Result<()> {
        let mut frame = vec![0; 16];
        for (revision, value) in group {
            frame.extend(revision.to_be_bytes());
            frame.extend((value.len() as u32).to_be_bytes());
            self.places.push((self.end + frame.len() as u64, value.len()));
            frame.extend(value);
        }
        let checksum = crc32fast::hash(&frame[16..]);
        frame[..4].copy_from_slice(&checksum.to_be_bytes());
        let end = self.end + frame.len() as u64;
        if end > self.ready {
            self.ready = end + STEP;
            self.file.write_all_at(&vec![0; (self.ready - self.end) as usize], self.end)?;
        }
        self.file.write_all_at(&frame, self.end)?;
        self.file.sync_data()?;
        self.end = end;
        Ok(())
    }

    fn get(&self, revision: u64) -> Result<usize> {
        let (at, length) = self.places[revision as usize];
        let mut value = vec![0; length];
        self.file.read_exact_at(&mut value, at)?;
        Ok(value.len())
    }
}

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).context("name a folder on the disk to measure")?);
    println!("| engine | 1 a sync | 32 a sync | 128 a sync | reads | memory after |");
    println!("|---|---|---|---|---|---|");
    for which in ["redb", "fjall", "log"] {
        // A process each, so that memory is that of one engine.
        if let Some(only) = std::env::args().nth(2) {
            if only == which {
                measure(open(which, &folder)?.as_mut())?;
            }
            continue;
        }
        let output = std::process::Command::new(std::env::current_exe()?).arg(&folder).arg(which).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        print!("{}{}", text.lines().skip(2).map(|l| format!("{l}\n")).collect::<String>(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn open(which: &str, folder: &Path) -> Result<Box<dyn Engine>> {
    let path = folder.join(format!("engine-{which}"));
    let _ = std::fs::remove_dir_all(&path);
    let _ = std::fs::remove_file(&path);
    Ok(match which {
        "redb" => Box::new(Redb(redb::Database::builder().set_cache_size(8 << 20).create(path)?)),
        "fjall" => {
            let database = Database::builder(path).cache_size(8 << 20).open()?;
            let keyspace =
                database.keyspace("revisions", || KeyspaceCreateOptions::default().max_memtable_size(8 << 20))?;
            Box::new(Fjall(database, keyspace))
        }
        _ => {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
            Box::new(Log { file, end: 0, ready: 0, places: Vec::new() })
        }
    })
}

fn measure(engine: &mut dyn Engine) -> Result<()> {
    let mut revision = 0;
    let mut rates = Vec::new();
    for group in [1, 32, 128] {
        let began = Instant::now();
        let mut count = 0_u64;
        while began.elapsed() < Duration::from_secs(SECONDS) {
            let values: Vec<_> = (0..group).map(|n| (revision + n, noise(revision + n))).collect();
            engine.commit(&values)?;
            revision += group;
            count += group;
        }
        rates.push(count as f64 / began.elapsed().as_secs_f64());
    }
    let began = Instant::now();
    let mut bytes = 0;
    for n in 0..20_000_u64 {
        bytes += engine.get((n * 7_919) % revision)?;
    }
    anyhow::ensure!(bytes == 20_000 * VALUE_BYTES, "values were lost");
    let reads = 20_000.0 / began.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let memory = status.lines().find(|line| line.starts_with("RssAnon")).unwrap_or_default();
    let memory: u64 = memory.split_whitespace().nth(1).unwrap_or("0").parse()?;
    println!(
        "| {} | {:.0}/s | {:.0}/s | {:.0}/s | {:.0}/s | {} MiB |",
        engine.name(), rates[0], rates[1], rates[2], reads, memory / 1024
    );
    Ok(())
}

/// A value that does not compress.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut value = Vec::with_capacity(VALUE_BYTES + 8);
    while value.len() < VALUE_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value.extend(state.to_le_bytes());
    }
    value.truncate(VALUE_BYTES);
    value
}
