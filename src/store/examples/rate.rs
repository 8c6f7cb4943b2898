//! How many writes a second the stores take: 1, 32 and 128 writers, values of 2,500 bytes, a new
//! key each, as the creation of an object is. `rate FOLDER [ETCD...]`: the folder is made
//! on the disk to be measured; each further argument is an etcd binary, run on the same disk.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use store::{
    Compare, Embedded, EmbeddedOptions, Etcd, EtcdOptions, KeyRange, Op, Range, Store, Txn, WatchRequest,
};

const SECONDS: u64 = 4;
const VALUE_BYTES: usize = 2_500;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("name a folder to make on the disk to measure")?;
    let folder = Path::new(&folder);
    std::fs::create_dir(folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!(
        "| store | 1 writer | 32 writers | 128 writers | a write among 32 takes, median / 99% | watched |"
    );
    println!("|---|---|---|---|---|---|");
    let measured = runtime.block_on(async {
        embedded(&folder.join("embedded")).await?;
        for (n, binary) in arguments.enumerate() {
            etcd(&binary, &folder.join(format!("etcd-{n}"))).await?;
        }
        Ok(())
    });
    std::fs::remove_dir_all(folder)?;
    measured
}

async fn embedded(folder: &Path) -> Result<(), Failure> {
    let options = EmbeddedOptions { folder: folder.to_owned() };
    let store = Arc::new(Embedded::open(&options)?);
    measure("embedded", Arc::clone(&store) as Arc<dyn Store>).await?;
    let revision = store.current_revision().await?;
    let keys = store.range(Range::new(KeyRange::all()).count_only()).await?.count;
    drop(store);
    let began = Instant::now();
    let store = Embedded::open(&options)?;
    let took = began.elapsed().as_secs_f64();
    let bytes = store.status().await?.disk_bytes >> 20;
    if store.current_revision().await? != revision {
        return Err("the store came back at another revision".into());
    }
    println!("\nembedded: {keys} keys, {bytes} MiB on disk, opened again in {took:.2} s; {}", memory()?);
    Ok(())
}

fn memory() -> Result<String, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    Ok(format!("memory of the process {}", anonymous.trim()))
}

/// A process that ends with its owner.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn etcd(binary: &str, folder: &Path) -> Result<(), Failure> {
    let port = || -> std::io::Result<u16> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()) };
    let [client, peer] = [port()?, port()?].map(|port| format!("http://127.0.0.1:{port}"));
    let child = Command::new(binary)
        .args(["--name=one", &format!("--data-dir={}", folder.display())])
        .args([format!("--listen-client-urls={client}"), format!("--advertise-client-urls={client}")])
        .args([format!("--listen-peer-urls={peer}"), format!("--initial-advertise-peer-urls={peer}")])
        .arg(format!("--initial-cluster=one={peer}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let _server = Server(child);
    let options = EtcdOptions { endpoints: vec![client], tls: None, timeout: Duration::from_secs(10) };
    let store: Arc<dyn Store> = Arc::new(Etcd::new(options).await?);
    let mut often = tokio::time::interval(Duration::from_millis(100));
    let version = loop {
        often.tick().await;
        if let Ok(status) = store.status().await {
            break status.version;
        }
    };
    measure(&format!("etcd {version}"), store).await
}

async fn measure(name: &str, store: Arc<dyn Store>) -> Result<(), Failure> {
    let from = store.current_revision().await?.next();
    let watched = Arc::new(AtomicU64::new(0));
    let mut watch = store.watch(WatchRequest::new(KeyRange::prefix("/bench/"), from)).await?;
    let counter = Arc::clone(&watched);
    let watcher = tokio::spawn(async move {
        while let Ok(batch) = watch.next().await {
            counter.fetch_add(batch.events.len() as u64, Ordering::Relaxed);
        }
    });
    let (mut rates, mut times) = (Vec::new(), Vec::new());
    for writers in [1, 32, 128] {
        let began = Instant::now();
        let tasks: Vec<_> = (0..writers)
            .map(|writer| tokio::spawn(write(Arc::clone(&store), format!("{writers}-{writer}"), began)))
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await??);
        }
        rates.push(all.len() as f64 / began.elapsed().as_secs_f64());
        if writers == 32 {
            all.sort();
            times = [all.len() / 2, all.len() * 99 / 100]
                .map(|n| all.get(n).copied().unwrap_or_default())
                .to_vec();
        }
    }
    watcher.abort();
    let ms = |time: &Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
    let times: Vec<_> = times.iter().map(ms).collect();
    let rates: Vec<_> = rates.iter().map(|rate| format!("{rate:.0}/s")).collect();
    println!(
        "| {name} | {} | {} ms | {} |",
        rates.join(" | "),
        times.join(" / "),
        watched.load(Ordering::Relaxed)
    );
    Ok(())
}

async fn write(store: Arc<dyn Store>, name: String, began: Instant) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    while began.elapsed() < Duration::from_secs(SECONDS) {
        let key = format!("/bench/{name}/{}", times.len());
        let value = vec![b'x'; VALUE_BYTES];
        let asked = Instant::now();
        let txn = Txn::new().when(Compare::absent(key.clone())).then(Op::put(key, value));
        if !store.txn(txn).await?.succeeded {
            return Err("a new key was there already".into());
        }
        times.push(asked.elapsed());
    }
    Ok(times)
}
