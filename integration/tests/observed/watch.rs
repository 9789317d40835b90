//! What moves the metrics of a server, and whether they do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use gateway::metrics::{Exporter, Observed};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::get;
use crate::support::eventually;
use crate::support::http::request;

/// Watches the metrics of a server, and notes which of them have moved.
pub(super) struct Watch {
    exporter: Exporter,
    pub(super) moved: BTreeSet<String>,
}

impl Watch {
    pub(super) fn of(observed: impl Into<Observed>) -> Self {
        Self {
            exporter: Exporter::new(observed),
            moved: BTreeSet::new(),
        }
    }

    /// The value of each metric; of one with labels the sum, of a histogram the number of values.
    fn values(&self) -> BTreeMap<String, f64> {
        let page = self.exporter.render();
        let mut values = BTreeMap::new();
        for line in page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            if name.ends_with("_bucket") || name.ends_with("_sum") {
                continue;
            }
            let name = name.trim_end_matches("_count").to_owned();
            *values.entry(name).or_default() += value.parse::<f64>().unwrap();
        }
        values
    }

    /// Does something, which must move these metrics.
    pub(super) async fn during<T>(&mut self, names: &[&str], action: impl Future<Output = T>) -> T {
        let before = self.values();
        let output = action.await;
        for name in names {
            let was = *before.get(*name).unwrap_or_else(|| panic!("no metric {name}"));
            eventually(name, || self.values()[*name] != was).await;
            self.moved.insert((*name).to_owned());
        }
        output
    }
}

/// A client on long-polling that polls no more, once it has joined `/`.
pub(super) struct Polling {
    address: SocketAddr,
    sid: String,
}

impl Polling {
    pub(super) async fn open(address: SocketAddr) -> Self {
        let path = "/socket.io/?EIO=4&transport=polling";
        let opened = get(address, path).await.body;
        let sid = opened
            .split("\"sid\":\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        Self {
            address,
            sid: sid.expect(&opened).to_owned(),
        }
    }

    fn path(&self) -> String {
        format!("/socket.io/?EIO=4&transport=polling&sid={}", self.sid)
    }

    pub(super) async fn join(&self) {
        let posted = request(Ipv4Addr::LOCALHOST, self.address, "POST", &self.path(), "", "40").await;
        assert_eq!(posted.unwrap().status, 200);
        get(self.address, &self.path()).await;
    }

    /// Sends the head of a POST and a part of its body.
    pub(super) async fn post_partly(&self, bytes: usize) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n",
            self.path()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'4'; bytes]).await.unwrap();
        stream
    }
}
