//! Cases of missing replies of the broker: the meaning of `Ok`, and that no message is sent twice.

use std::sync::Arc;

use futures_util::FutureExt;
use manager_api::{ClientManager, Subscription};

use super::support::*;
use super::{Backend, Fault, Link};

/// While the broker is frozen nothing is accepted: a publish fails at its deadline, with a retryable error.
pub async fn nothing_is_accepted_while_the_broker_stands_still(backend: &dyn Backend) {
    let options = hasty_options(backend).await;
    let manager = backend.manager(options).await;
    soon("publish", publish_until_accepted(&*manager, 0)).await;
    let stands_still = backend.freeze().await;
    if !is_supported(backend, Fault::StandsStill, stands_still) {
        return;
    }
    let failed = soon("the failure", manager.publish(numbered(1))).await;
    backend.thaw().await;
    let failed = failed.expect_err("nothing can have accepted it");
    assert!(failed.is_retryable(), "{failed:?}");
    soon("publish", publish_until_accepted(&*manager, 2)).await;
}

/// `Ok` means that the broker's reply arrived: until then a publish waits, although subscribers have the message.
pub async fn ok_waits_for_the_answer_of_the_broker(backend: &dyn Backend) {
    let Some(mut one) = Unanswered::begin(backend).await else {
        return;
    };
    let mut publishing = one.publisher.publish(numbered(1));
    tokio::select! {
        biased;
        accepted = &mut publishing => panic!("no answer can have come: {accepted:?}"),
        message = next_message(&mut one.subscription) => assert_eq!(number_of(&message), 1),
    }
    assert!(publishing.as_mut().now_or_never().is_none(), "no answer can have come");
    one.line.mend();
    soon("the answer", publishing).await.expect("accepted");
}

/// A publish whose reply was lost with the connection reaches subscribers at most once, regardless of its outcome.
pub async fn a_publish_whose_answer_was_lost_reaches_subscribers_at_most_once(backend: &dyn Backend) {
    let Some(mut one) = Unanswered::begin(backend).await else {
        return;
    };
    let mut publishing = one.publisher.publish(numbered(1));
    tokio::select! {
        _ = &mut publishing => panic!("no answer can have come"),
        message = next_message(&mut one.subscription) => assert_eq!(number_of(&message), 1),
    }
    let break_off = async {
        one.line.cut().await;
        one.line.mend();
    };
    let (outcome, ()) = tokio::join!(soon("the outcome", publishing), break_off);
    if let Err(failed) = outcome {
        assert!(failed.is_retryable() && failed.may_have_been_published(), "{failed:?}");
    }
    soon("publish", publish_until_accepted(&*one.publisher, 2)).await;
    assert_eq!(
        number_of(&next_message(&mut one.subscription).await),
        2,
        "nothing comes again"
    );
}

/// A publisher that receives no further replies, and a subscription to its messages.
struct Unanswered {
    publisher: Arc<dyn ClientManager>,
    line: Box<dyn Link>,
    _listener: Arc<dyn ClientManager>,
    subscription: Subscription,
}

impl Unanswered {
    /// Prepares the case; `None` if the backend has no link to break.
    async fn begin(backend: &dyn Backend) -> Option<Self> {
        let options = options();
        let on_a_line = backend.manager_on_link(options.clone()).await;
        if !is_supported(backend, Fault::LosesAnswers, on_a_line.is_some()) {
            return None;
        }
        let (publisher, line) = on_a_line?;
        let listener = backend.manager(options).await;
        let mut subscription = listener.subscribe().await.expect("subscribe");
        soon("publish", publish_until_accepted(&*publisher, 0)).await;
        expect_numbers(&mut subscription, 1).await;
        line.swallow_answers();
        Some(Self {
            publisher,
            line,
            _listener: listener,
            subscription,
        })
    }
}
