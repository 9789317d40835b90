//! The commands of administrators.

use super::*;

#[tokio::test]
async fn administrators_move_disconnect_and_emit() {
    let server = start(admin()).await;
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    let mut admin = log_in(&server).await;
    let sid = one.sid.clone();
    let rooms = || server.io.namespace("/").rooms(&sid.as_str().into());

    admin
        .send(&format!("42/admin,{}", json!(["join", "/", "vip", sid])))
        .await;
    assert_eq!(
        told_of_clients(&mut admin).await,
        [json!("room_joined"), json!("/"), json!("vip"), json!(sid)]
    );
    admin
        .send(&format!(
            "42/admin,{}",
            json!(["emit", "/", "vip", "hello", 1, {"a": null}])
        ))
        .await;
    one.expect(r#"42["hello",1,{"a":null}]"#).await;
    told_of(&mut admin, "event_sent").await;
    admin.send(r#"42/admin,["emit","/",null,"all"]"#).await;
    one.expect(r#"42["all"]"#).await;
    two.expect(r#"42["all"]"#).await;
    admin.send(r#"42/admin,["leave","/","vip"]"#).await;
    told_of(&mut admin, "room_left").await;
    assert_eq!(rooms().len(), 1);

    admin
        .send(&format!("42/admin,{}", json!(["_disconnect", "/", false, sid])))
        .await;
    one.expect("41").await;
    one.send("40").await;
    assert!(one.text().await.starts_with("40{"), "its connection stayed");
    admin
        .send(&format!("42/admin,{}", json!(["_disconnect", "/", true, two.sid])))
        .await;
    two.expect("41").await;
    two.expect_closed().await;
}

#[tokio::test]
async fn a_read_only_server_does_not_obey() {
    let server = start(admin().read_only(true)).await;
    let mut client = server.connect().await;
    let mut admin = server.open().await;
    admin.send(LOGIN).await;
    let features = told_of_after_acceptance(&mut admin, "config").await;
    assert_eq!(
        features[1],
        json!({"supportedFeatures": ["AGGREGATED_EVENTS", "ALL_EVENTS"]})
    );
    for command in [
        json!(["join", "/", "vip", client.sid]),
        json!(["emit", "/", null, "hello"]),
        json!(["_disconnect", "/", true, client.sid]),
    ] {
        admin.send(&format!("42/admin,{command}")).await;
    }
    // What the same connection sends next is handled after them.
    admin.send("40").await;
    while !admin.text().await.starts_with("40{") {}
    client.send(r#"420["join","lobby"]"#).await;
    client.expect(r#"430["ok"]"#).await;
    let rooms = server.io.namespace("/").rooms(&client.sid.as_str().into());
    assert_eq!(rooms.len(), 2, "its own and the lobby: {rooms:?}");
}
