//! Sessions: what an application keeps with a client, as handlers read and change it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use manager_api::{Error, ErrorKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedMutexGuard;

use super::Socket;
use crate::client::SharedData;

impl Socket {
    /// Keeps something about this client that every server and emitter can read by
    /// [`fetch_sockets`](manager_api::Broadcast::fetch_sockets), in the place of what was kept before.
    ///
    /// It is kept as JSON; binary is not possible. Unlike a [session](Self::save_session), which only this server can read, it is copied
    /// whenever clients are listed: keep it short.
    ///
    /// ```
    /// # use socket_io::{Data, Socket, SocketIo};
    /// # let io = SocketIo::new();
    /// io.namespace("/").on("nickname", async |socket: Socket, Data(name): Data<String>| socket.set_data(&name));
    ///
    /// # async fn example(io: SocketIo) -> Result<(), socket_io::Error> {
    /// for socket in io.to("lobby").fetch_sockets().await?.found {
    ///     println!("{}: {:?}", socket.id, socket.data::<String>()?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) if it cannot be written as JSON, [`TooLarge`](ErrorKind::TooLarge) if that has more bytes than
    /// [allowed](hub::HubOptions::max_socket_data_bytes), [`NotFound`](ErrorKind::NotFound) if the client is gone and its disconnect
    /// handler has ended. What was kept before stays.
    pub fn set_data<T: Serialize + ?Sized>(&self, data: &T) -> Result<(), Error> {
        let json = serde_json::to_string(data).map_err(|error| {
            Error::new(ErrorKind::Config, "the data of a client cannot be written as JSON").with_source(error)
        })?;
        let (len, max) = (json.len(), self.max_data_bytes());
        if len > max {
            let text = format!("the data of a client has {len} bytes: the limit max_socket_data_bytes is {max}");
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        self.save_session(SharedData(json.into()))
    }

    /// Reads what [`set_data`](Self::set_data) keeps; `None` if that is nothing, or `null`.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) if it does not fit `T`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        manager_api::cluster::read_data(self.sessions().data().as_deref())
    }

    /// Returns what was [saved](Self::save_session) about this client, without copying it; `None` if nothing of this type was, or the
    /// client is gone and its disconnect handler has ended.
    ///
    /// Sessions belong to one client in one namespace of this server, and do not outlive it: one that comes back starts without. A
    /// client has one of each type; without any, they cost nothing.
    ///
    /// ```
    /// # use socket_io::{Socket, SocketIo};
    /// # let io = SocketIo::new();
    /// struct User { name: String }
    ///
    /// io.namespace("/")
    ///     .on_connect(async |socket: Socket| socket.save_session(User { name: "Ada".into() }).is_ok())
    ///     .on("who am I", async |socket: Socket| socket.get_session::<User>().map(|user| user.name.clone()));
    /// ```
    pub fn get_session<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.sessions().get()
    }

    /// Saves something about this client, in the place of what was saved of this type before.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if the client is gone and its disconnect handler has ended.
    pub fn save_session<T: Send + Sync + 'static>(&self, value: T) -> Result<(), Error> {
        match self.sessions().set(Arc::new(value)) {
            Ok(before) => {
                drop(before);
                Ok(())
            }
            Err(_) => {
                let text = format!("client {} is not connected any more", self.id());
                Err(Error::new(ErrorKind::NotFound, text))
            }
        }
    }

    /// Waits for the sole right to change what is saved about this client, and returns a guard that saves when it is dropped.
    ///
    /// Starts from what was saved, or the default. Others that ask for a guard of this type wait; [`get_session`](Self::get_session)
    /// returns what was saved before until the guard is dropped. The value is cloned only if it is changed while another handle still holds what
    /// `get_session` returned.
    ///
    /// A handler that asks for a second guard of the same type while it holds the first waits for ever; handlers of one client run one
    /// after the other, so that it needs none. A guard that is dropped by a panic, or after the client is gone, saves nothing.
    ///
    /// ```
    /// # use socket_io::{Socket, SocketIo};
    /// # let io = SocketIo::new();
    /// #[derive(Clone, Default)]
    /// struct Visits { count: u32 }
    ///
    /// io.namespace("/").on("visit", async |socket: Socket| {
    ///     let mut visits = socket.session::<Visits>().await;
    ///     visits.count += 1;
    ///     visits.count
    /// });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its place in the queue.
    pub async fn session<T: Clone + Default + Send + Sync + 'static>(&self) -> SessionGuard<T> {
        let writer = self.sessions().writer::<T>().lock_owned().await;
        SessionGuard {
            value: self.get_session::<T>().unwrap_or_default(),
            is_changed: false,
            socket: self.clone(),
            _writer: writer,
        }
    }
}

/// The right to change a [session](Socket::session); saves when it is dropped.
pub struct SessionGuard<T: Clone + Send + Sync + 'static> {
    value: Arc<T>,
    is_changed: bool,
    socket: Socket,
    _writer: OwnedMutexGuard<()>,
}

impl<T: Clone + Send + Sync + 'static> Deref for SessionGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Clone + Send + Sync + 'static> DerefMut for SessionGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.is_changed = true;
        Arc::make_mut(&mut self.value)
    }
}

impl<T: Clone + Send + Sync + 'static> Drop for SessionGuard<T> {
    fn drop(&mut self) {
        if self.is_changed && !std::thread::panicking() {
            // The client may be gone, and its session with it.
            drop(self.socket.sessions().set(self.value.clone()));
        }
    }
}

impl<T: Clone + Send + Sync + fmt::Debug + 'static> fmt::Debug for SessionGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionGuard").field(&self.value).finish()
    }
}
