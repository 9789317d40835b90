//! One round: a random script with its clients and servers.

use futures_util::future::join_all;
use integration::script::{Act, ROOMS};

use super::client::{Client, Ended, Way, stray};
use super::cluster::{Cluster, SURVIVOR, VICTIM};

const STEPS: usize = 300;
const MAX_CLIENTS: usize = 30;

/// One run of the script, from the first client to the last.
pub(super) struct Round<'a> {
    cluster: &'a mut Cluster,
    random: &'a mut fastrand::Rng,
    clients: Vec<Client>,
    ended: Vec<Ended>,
}

impl<'a> Round<'a> {
    pub(super) fn new(cluster: &'a mut Cluster, random: &'a mut fastrand::Rng) -> Self {
        Self {
            cluster,
            random,
            clients: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// Runs; one server is killed in the middle, and started again. No client is left in the end.
    pub(super) async fn run(mut self) {
        let killed_at = self.random.usize(STEPS / 4..STEPS / 2);
        let restarted_at = killed_at + self.random.usize(1..STEPS / 4);
        let mut most = 0;
        for at in 0..STEPS {
            if at == killed_at {
                self.kill().await;
            }
            if at == restarted_at {
                self.cluster.restart().await;
            }
            self.step().await;
            if at % 50 == 49 {
                most = most.max(self.cluster.tasks(SURVIVOR).await);
            }
        }
        assert!(most > self.cluster.least(), "clients are tasks: {most}");
        while let Some(client) = self.clients.pop() {
            self.ended.push(client.end(self.random));
        }
        self.cluster.expect_nothing_left().await;
    }

    /// Kills a server; its clients come back to the other.
    async fn kill(&mut self) {
        self.cluster.kill().await;
        let (lost, kept) = self.clients.drain(..).partition(|client| client.host == VICTIM);
        self.clients = kept;
        let lost: Vec<Client> = lost;
        let num_lost = lost.len();
        join_all(lost.into_iter().map(Client::lost)).await;
        for _ in 0..num_lost {
            self.connect().await;
        }
    }

    async fn connect(&mut self) {
        let host = self.cluster.choose(self.random);
        let way = match self.random.u8(0..4) {
            0 | 1 => Way::WebSocket,
            2 => Way::Polling,
            _ => Way::Upgraded,
        };
        self.clients
            .push(Client::connect(host, self.cluster.address(host), way).await);
    }

    async fn step(&mut self) {
        let may_connect = self.clients.len() < MAX_CLIENTS && self.random.u8(0..4) == 0;
        if self.clients.is_empty() || may_connect {
            return self.connect().await;
        }
        match self.random.u8(0..32) {
            0..14 => self.client_acts(),
            14..27 => self.server_acts().await,
            27 => {
                let host = self.cluster.choose(self.random);
                // Its outcome is not waited for.
                let _ = stray(self.cluster.address(host), self.random).await;
            }
            28 => {
                let at = self.random.usize(0..2);
                self.cluster.cut(at).await;
            }
            _ => {
                let at = self.random.usize(0..self.clients.len());
                let ended = self.clients.swap_remove(at).end(self.random);
                self.ended.push(ended);
            }
        }
    }

    fn client_acts(&mut self) {
        let room = ROOMS[self.random.usize(0..ROOMS.len())];
        let game = self.random.u8(0..5);
        let packet = match self.random.u8(0..10) {
            0 | 1 => format!("421[\"join\",\"{room}\"]"),
            2 => format!("422[\"leave\",\"{room}\"]"),
            3 => "423[\"echo\",1,[2]]".to_owned(),
            4 => "424[\"visit\"]".to_owned(),
            5 => "425[\"ask me\"]".to_owned(),
            6 => "40/other,".to_owned(),
            7 => format!("40/game-{game},"),
            8 => format!("42/game-{game},6[\"which\"]"),
            _ => match game {
                0 => "41".to_owned(),
                1 => "41/other,".to_owned(),
                _ => format!("41/game-{game},"),
            },
        };
        self.clients[self.random.usize(0..self.clients.len())].send(&packet);
    }

    async fn server_acts(&mut self) {
        let room = ROOMS[self.random.usize(0..ROOMS.len())].to_owned();
        let sid = self.clients[self.random.usize(0..self.clients.len())].sid.clone();
        let act = match self.random.u8(0..14) {
            0 | 1 => Act::Enter(sid, room),
            2 => Act::Leave(sid, room),
            3 => Act::Close(room),
            4 | 5 => Act::Emit(room, self.random.usize(0..5_000)),
            6 => Act::EmitIn(format!("/game-{}", self.random.u8(0..5))),
            7 => Act::Disconnect(sid),
            8 => Act::EnterAll(room),
            9 => Act::LeaveAll(room),
            10 => Act::Collect(room),
            11 => Act::Fetch(room),
            12 => Act::Tell,
            _ => Act::Call,
        };
        let host = self.cluster.choose(self.random);
        self.cluster.act(host, &act).await;
    }
}
