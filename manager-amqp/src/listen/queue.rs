//! The queue of a subscription: declared, bound, consumed, checked, removed.

use std::time::Duration;

use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use manager_api::SubscriptionSender;
use tokio::time::timeout;

use super::{End, Line, Listener};
use crate::config::QueueKind;
use crate::connect::Link;
use crate::error::is_not_found;

/// How long taking leave of the broker may take, the removal of the queue included.
const LEAVE: Duration = Duration::from_secs(2);

impl Listener {
    /// Connects, and declares and consumes the queue; messages published from now on will be seen.
    pub(super) async fn try_open(&mut self) -> lapin::Result<Line> {
        let link = self.connector.connect("listen").await?;
        self.was_gone |= self.is_declared && !self.queue_exists(&link).await?;
        let channel = link.connection.create_channel().await?;
        self.connector.declare_exchange(&channel).await?;
        self.is_declared = true;
        let options = QueueDeclareOptions {
            durable: self.options.queue.kind == QueueKind::Durable,
            exclusive: self.options.queue.kind == QueueKind::Exclusive,
            ..QueueDeclareOptions::default()
        };
        let queue = self.queue.as_str().into();
        channel.queue_declare(queue, options, self.arguments.clone()).await?;
        self.bind(&channel).await?;
        let consumer = self.consume(&channel).await?;
        Ok(Line {
            link,
            channel,
            consumer,
            num_unacked: 0,
            last_tag: 0,
            is_resizing: false,
        })
    }

    async fn consume(&self, channel: &Channel) -> lapin::Result<Consumer> {
        let ahead = self.window.current();
        channel.basic_qos(ahead, BasicQosOptions::default()).await?;
        let queue = self.queue.as_str().into();
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        channel.basic_consume(queue, "".into(), options, arguments).await
    }

    /// Has the broker send nothing more until it is told the new window; what it has sent comes still.
    pub(super) async fn end_consumer(&self, line: &mut Line) -> Result<(), End> {
        if std::mem::replace(&mut line.is_resizing, true) {
            return Ok(());
        }
        let canceled = line
            .channel
            .basic_cancel(line.consumer.tag(), BasicCancelOptions::default());
        self.connector.within_timeout(canceled).await.map_err(End::Lost)
    }

    /// Goes on where the ended consumer stopped.
    pub(super) async fn consume_again(&self, line: &mut Line) -> Result<(), End> {
        self.acknowledge(line).await?;
        let consuming = self.consume(&line.channel);
        line.consumer = self.connector.within_timeout(consuming).await.map_err(End::Lost)?;
        line.is_resizing = false;
        Ok(())
    }

    /// Makes sure that silence means that nobody publishes.
    pub(super) async fn check(&self, line: &Line, sender: &SubscriptionSender) -> Result<(), End> {
        let checked = async {
            let is_there = self.connector.exchange_exists(&line.link).await?;
            self.connector.declare_exchange(&line.channel).await?;
            self.bind(&line.channel).await?;
            Ok(is_there)
        };
        match self.connector.within_timeout(checked).await {
            Ok(true) => Ok(()),
            Ok(false) => Ok(self.admit("the exchange was deleted".to_owned(), sender)?),
            Err(failure) => Err(End::Lost(failure)),
        }
    }

    async fn bind(&self, channel: &Channel) -> lapin::Result<()> {
        let queue = self.queue.as_str().into();
        let exchange = self.connector.exchange().into();
        channel
            .queue_bind(
                queue,
                exchange,
                "".into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
    }

    /// Asks on a channel of its own: the broker closes it to say no.
    async fn queue_exists(&self, link: &Link) -> lapin::Result<bool> {
        let channel = link.connection.create_channel().await?;
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let asked = channel.queue_declare(self.queue.as_str().into(), options, FieldTable::default());
        match asked.await {
            Ok(_) => channel.close(200, "bye".into()).await.map(|()| true),
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the queue, best on the connection that there is.
    pub(super) async fn leave(&self, line: Option<Line>) {
        if !self.is_declared {
            return;
        }
        let removed = async {
            let link = match line {
                Some(line) if line.link.connection.status().connected() => line.link,
                _ => self.connector.connect("listen").await?,
            };
            let channel = link.connection.create_channel().await?;
            let options = QueueDeleteOptions::default();
            channel.queue_delete(self.queue.as_str().into(), options).await?;
            link.close(LEAVE).await;
            lapin::Result::Ok(())
        };
        if !matches!(timeout(LEAVE, removed).await, Ok(Ok(()))) {
            tracing::debug!(target: "manager_amqp", queue = self.queue, "the queue was not removed and will expire");
        }
    }
}
