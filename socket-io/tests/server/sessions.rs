//! Sessions: what is kept about a client while it is connected.

use std::sync::{Arc, Mutex};

use socket_io::manager_api::ErrorKind;
use socket_io::{Data, Socket};
use tokio::sync::mpsc;

use crate::client::{TestServer, within};

#[derive(Clone, Debug, Default, PartialEq)]
struct User {
    name: String,
    visits: u32,
}

/// A server whose clients of `/` and `/other` are handed to the test.
async fn server() -> (TestServer, mpsc::UnboundedReceiver<Socket>) {
    let server = TestServer::start().await;
    let (sockets, accepted) = mpsc::unbounded_channel();
    for name in ["/", "/other"] {
        let sockets = sockets.clone();
        server.io.namespace(name).on_connect(move |socket: Socket| {
            sockets.send(socket).unwrap();
            async {}
        });
    }
    (server, accepted)
}

#[tokio::test]
async fn a_session_belongs_to_one_client_in_one_namespace_and_one_type() {
    let (server, mut accepted) = server().await;
    let mut client = server.connect().await;
    let here = within(accepted.recv()).await.unwrap();
    client.join("/other").await;
    let other = within(accepted.recv()).await.unwrap();
    assert_eq!(here.get_session::<User>(), None);
    let user = User {
        name: "Ada".into(),
        visits: 1,
    };
    here.save_session(user.clone()).unwrap();
    here.save_session(7_u64).unwrap();
    assert_eq!(here.get_session().as_deref(), Some(&user));
    assert_eq!(here.get_session().as_deref(), Some(&7_u64));
    assert_eq!(other.get_session::<User>(), None);
    let found = server.io.namespace("/").socket(here.id()).unwrap();
    assert_eq!(found.get_session::<User>().unwrap().name, "Ada");
}

#[tokio::test]
async fn a_guard_saves_when_it_is_dropped_and_copies_only_what_others_hold() {
    /// Tells how often it was cloned.
    #[derive(Default)]
    struct Counted(Arc<Mutex<u32>>, u32);

    impl Clone for Counted {
        fn clone(&self) -> Self {
            *self.0.lock().unwrap() += 1;
            Self(self.0.clone(), self.1)
        }
    }

    let (server, mut accepted) = server().await;
    let _client = server.connect().await;
    let socket = within(accepted.recv()).await.unwrap();
    let clones = Arc::new(Mutex::new(0));
    socket.save_session(Counted(clones.clone(), 0)).unwrap();
    let before = socket.get_session::<Counted>().unwrap();
    {
        let mut guard = socket.session::<Counted>().await;
        guard.1 += 1;
        assert_eq!(
            (before.1, socket.get_session::<Counted>().unwrap().1),
            (0, 0),
            "not saved yet"
        );
    }
    assert_eq!(socket.get_session::<Counted>().unwrap().1, 1);
    assert_eq!((before.1, *clones.lock().unwrap()), (0, 1));
    // Only read: nothing is copied.
    assert_eq!(socket.session::<Counted>().await.1, 1);
    assert_eq!(*clones.lock().unwrap(), 1);
}

#[tokio::test]
async fn changes_by_several_tasks_are_all_saved() {
    let (server, mut accepted) = server().await;
    let _client = server.connect().await;
    let socket = within(accepted.recv()).await.unwrap();
    let tasks = (0..50).map(|_| {
        let socket = socket.clone();
        tokio::spawn(async move {
            let mut user = socket.session::<User>().await;
            tokio::task::yield_now().await;
            user.visits += 1;
        })
    });
    futures_util::future::try_join_all(tasks).await.unwrap();
    assert_eq!(socket.get_session::<User>().unwrap().visits, 50);
}

#[tokio::test]
async fn a_session_lives_through_the_disconnect_handler_and_ends_then() {
    let (server, mut accepted) = server().await;
    let (ends, mut ended) = mpsc::unbounded_channel();
    let root = server.io.namespace("/");
    root.on("name", async |socket: Socket, Data(name): Data<String>| {
        let mut user = socket.session::<User>().await;
        user.name = name;
    });
    root.on_disconnect(move |socket: Socket| {
        ends.send(socket.get_session::<User>()).unwrap();
        async {}
    });
    let mut client = server.connect().await;
    let socket = within(accepted.recv()).await.unwrap();
    client.send("420[\"name\",\"Ada\"]").await;
    client.expect("430[]").await;
    let mut late = socket.session::<User>().await;
    late.name = "too late".into();
    let weak = Arc::downgrade(&socket.get_session::<User>().unwrap());
    client.send("41").await;
    assert_eq!(within(ended.recv()).await.unwrap().unwrap().name, "Ada");
    within(async {
        while weak.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(late);
    assert_eq!(socket.get_session::<User>(), None);
    assert_eq!(socket.save_session(1_u8).unwrap_err().kind(), ErrorKind::NotFound);
    // Who comes back starts anew.
    client.join("/").await;
    assert_eq!(within(accepted.recv()).await.unwrap().get_session::<User>(), None);
}

#[tokio::test]
async fn a_guard_dropped_by_a_panic_saves_nothing() {
    let (server, mut accepted) = server().await;
    server.io.namespace("/").on("panic", async |socket: Socket| {
        let mut user = socket.session::<User>().await;
        user.name = "half done".into();
        assert!(user.name.is_empty(), "on purpose");
    });
    server.io.namespace("/").on("ok", async || "ok");
    let mut client = server.connect().await;
    let socket = within(accepted.recv()).await.unwrap();
    client.send("420[\"panic\"]").await;
    client.send("421[\"ok\"]").await;
    client.expect("431[\"ok\"]").await;
    assert_eq!(socket.get_session::<User>(), None);
    // Nor does it keep others from one of their own.
    within(socket.session::<User>()).await.visits = 1;
}
