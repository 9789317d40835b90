//! Extractors of an application: arguments that are asked for elsewhere.

use std::sync::Arc;

use socket_io::extract::{FromContext, Rejection, State};
use socket_io::handler::{Context, Methods, NamespaceType};
use socket_io::{Ack, SocketIo};
use tokio::sync::{mpsc, oneshot};

use crate::client::{TestServer, within};

/// A database: each question waits until the test answers it.
#[derive(Clone)]
struct Users(mpsc::UnboundedSender<oneshot::Sender<Option<&'static str>>>);

impl Users {
    fn new() -> (Self, mpsc::UnboundedReceiver<oneshot::Sender<Option<&'static str>>>) {
        let (questions, asked) = mpsc::unbounded_channel();
        (Self(questions), asked)
    }

    async fn current(&self) -> Option<&'static str> {
        let (question, answer) = oneshot::channel();
        self.0.send(question).unwrap();
        answer.await.unwrap()
    }
}

struct User(&'static str);

impl<C: Context> FromContext<C> for User {
    async fn from_context(context: &C) -> Result<Self, Rejection> {
        let State(users) = State::<Users>::from_context(context).await?;
        let name = users.current().await.ok_or_else(|| Rejection::new("no such user"))?;
        Ok(Self(name))
    }
}

struct Profiles;

impl NamespaceType for Profiles {
    fn methods(methods: &mut Methods<Self>) {
        methods.on("who am I", Self::name);
    }
}

impl Profiles {
    async fn name(self: Arc<Self>, User(name): User) -> &'static str {
        name
    }
}

#[tokio::test]
async fn an_extractor_may_wait_and_only_its_client_waits_with_it() {
    let (users, mut asked) = Users::new();
    let server = TestServer::with(SocketIo::builder().state(users)).await;
    let root = server.io.namespace("/");
    root.on("who am I", async |User(name): User| name)
        .on("ping", async || "pong");
    let (mut one, mut other) = (server.connect().await, server.connect().await);
    one.send("420[\"who am I\"]").await;
    one.send("421[\"ping\"]").await;
    let question = within(asked.recv()).await.unwrap();
    other.send("420[\"ping\"]").await;
    other.expect("430[\"pong\"]").await;
    question.send(Some("Ada")).unwrap();
    one.expect("430[\"Ada\"]").await;
    one.expect("431[\"pong\"]").await;
}

#[tokio::test]
async fn what_an_extractor_refuses_after_it_has_waited_calls_no_handler() {
    let (users, mut asked) = Users::new();
    let server = TestServer::with(SocketIo::builder().state(users)).await;
    let root = server.io.namespace("/");
    root.on("who am I", async |User(name): User| name)
        .on("perhaps", async |user: Result<User, Rejection>| Ack(user.is_ok()));
    server.io.namespace("/users").on_connect(async |_: User| true);
    let mut client = server.connect().await;
    for event in ["420[\"who am I\"]", "421[\"perhaps\"]"] {
        client.send(event).await;
        within(asked.recv()).await.unwrap().send(None).unwrap();
    }
    client.expect("431[false]").await;
    client.send("40/users,").await;
    within(asked.recv()).await.unwrap().send(None).unwrap();
    client
        .expect("44/users,{\"message\":\"Connection rejected by server\"}")
        .await;
    client.send("40/users,").await;
    within(asked.recv()).await.unwrap().send(Some("Ada")).unwrap();
    assert!(client.text().await.starts_with("40/users,{\"sid\":"));
}

#[tokio::test]
async fn extractors_of_methods_and_middleware_may_wait_as_well() {
    let (users, mut asked) = Users::new();
    let server = TestServer::with(SocketIo::builder().state(users)).await;
    let profiles = server.io.namespace("/profiles");
    profiles.register(Profiles);
    profiles.use_event(async |User(name): User| name == "Ada");
    let mut client = server.open().await;
    client.join("/profiles").await;
    client.send("42/profiles,0[\"who am I\"]").await;
    for _ in ["middleware", "method"] {
        within(asked.recv()).await.unwrap().send(Some("Ada")).unwrap();
    }
    client.expect("43/profiles,0[\"Ada\"]").await;
}
