use super::*;

fn says(username: &str, password: &str, token: &str) -> Credentials {
    Credentials {
        username: username.into(),
        password: password.into(),
        token: token.into(),
    }
}

fn address(number: u32) -> Option<IpAddr> {
    Some(IpAddr::V4(number.into()))
}

fn secret() -> Auth {
    Auth::password("admin".into(), "secret".into())
}

fn hashed() -> Auth {
    Auth::bcrypt("admin".into(), bcrypt::hash("secret", 4).unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn name_and_password_must_both_be_right() {
    for auth in [secret(), hashed()] {
        assert_eq!(auth.login(says("admin", "secret", ""), None).await, Login::Accepted);
        for (name, password) in [("admin", "Secret"), ("root", "secret"), ("", ""), ("admin", "")] {
            assert_eq!(auth.login(says(name, password, ""), None).await, Login::Refused);
        }
    }
    assert!(Auth::bcrypt("admin".into(), "secret".into()).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_right_password_is_answered_as_late_as_a_wrong_one() {
    for auth in [secret(), hashed()] {
        for password in ["secret", "guess"] {
            let started = Instant::now();
            auth.login(says("admin", password, ""), None).await;
            assert!(started.elapsed() >= ANSWERED_AFTER, "{password}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_leaves_before_its_answer_has_tried_all_the_same() {
    for mut auth in [secret(), hashed()] {
        auth.limit_attempts(5, 8);
        for _ in 0..100 {
            // Polled once, then given up.
            assert!(
                auth.login(says("admin", "guess", ""), address(1))
                    .now_or_never()
                    .is_none()
            );
        }
        let right = || says("admin", "secret", "");
        assert_eq!(
            auth.login(right(), address(1)).await,
            Login::Limited,
            "though it is right"
        );
        assert_eq!(auth.login(Credentials::default(), address(1)).await, Login::Refused);
        assert_eq!(auth.login(right(), address(2)).await, Login::Accepted);
        let token = auth.token(Duration::from_secs(60)).await.unwrap();
        assert_eq!(auth.login(says("", "", &token), address(1)).await, Login::Again);
        for number in 3..9 {
            auth.login(says("admin", "guess", ""), address(number)).await;
        }
        assert_eq!(auth.login(right(), address(50)).await, Login::Limited, "all together");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_accepted_until_its_end_by_servers_with_the_same_password() {
    let (one, other) = (secret(), secret());
    let token = one.token(Duration::from_secs(60)).await.unwrap();
    assert_eq!(other.login(says("", "", &token), None).await, Login::Again);
    let changed = Auth::password("admin".into(), "another".into());
    assert_eq!(changed.login(says("", "", &token), None).await, Login::Refused);
    let of_seven = one.token_until(7).await;
    assert!(!one.is_token(&of_seven, 7).await && one.is_token(&of_seven, 6).await);
    let end = token.split_once('.').unwrap().0;
    let longer = token.replacen(end, "ffffffffff", 1);
    for forged in ["", ".", "1.", "ffffffffff.AAAA", &longer] {
        assert_eq!(one.login(says("", "", forged), None).await, Login::Refused, "{forged}");
    }
    assert_eq!(one.token(Duration::ZERO).await, None);
    for duration in [Duration::from_millis(1), Duration::MAX] {
        let token = one.token(duration).await.unwrap();
        assert!(one.is_token(&token, now() - 1).await, "{duration:?}");
    }
}

/// An attacker who has a token and guesses at the password pays for a derivation with each guess, or cannot guess at all.
#[tokio::test]
async fn a_token_is_no_fast_oracle_of_the_password() {
    let fast = |secret: &str| {
        let mut mac = hmac(secret.as_bytes());
        mac.update(b"sessions of socket-io's administrators\0");
        mac.update(b"admin");
        mac.finalize().into_bytes()
    };
    let mut signed = secret();
    signed.sign_with(b"a secret for this purpose, long enough");
    for auth in [secret(), signed.clone()] {
        let token = auth.token_until(7).await;
        for key in [fast("secret").as_slice(), &labelled(b"secret"), b"secret"] {
            let mut mac = hmac(key);
            mac.update(&7_u64.to_be_bytes());
            let guess = format!("7.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
            assert_ne!(token, guess);
        }
    }
    // With a secret the token depends on both.
    let (mut same, mut other_secret) = (secret(), secret());
    let mut other_password = Auth::password("admin".into(), "another".into());
    same.sign_with(b"a secret for this purpose, long enough");
    other_secret.sign_with(b"another secret for it, long enough");
    other_password.sign_with(b"a secret for this purpose, long enough");
    let token = signed.token_until(7).await;
    assert!(same.is_token(&token, 6).await);
    assert!(!other_secret.is_token(&token, 6).await && !other_password.is_token(&token, 6).await);
    assert!(!secret().is_token(&token, 6).await);
}

#[test]
fn those_whose_password_is_not_looked_at_are_not_told_that_it_is_wrong() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let auth = hashed();
        // No hash is compared before all have begun.
        let (release, held) = std::sync::mpsc::channel::<()>();
        let _holding = tokio::task::spawn_blocking(move || held.recv());
        let all = (0..=MAX_WAITING).map(|_| auth.login(says("admin", "guess", ""), None));
        let mut all = std::pin::pin!(futures_util::future::join_all(all));
        assert!(all.as_mut().now_or_never().is_none());
        drop(release);
        let mut outcomes = all.await;
        assert_eq!(outcomes.pop(), Some(Login::Busy));
        assert!(outcomes.iter().all(|outcome| *outcome == Login::Refused));
        let nothing = auth.login(Credentials::default(), None).await;
        assert_eq!(nothing, Login::Refused, "without looking");
    });
}

#[test]
fn what_the_page_does_not_know_is_null() {
    let said: Credentials = serde_json::from_str(r#"{"sessionId":null}"#).unwrap();
    assert_eq!((said.username, said.token), (String::new(), String::new()));
}
