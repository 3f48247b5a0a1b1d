//! Who gets in: certificates, tokens, the socket, reflection and health.

use std::os::unix::fs::PermissionsExt as _;

use api::v1;
use tokio_stream::StreamExt as _;
use tonic::Code;

use super::*;

async fn info(client: &Client) -> Result<tonic::Response<v1::InfoResponse>, tonic::Status> {
    soon(client.node().info(v1::InfoRequest {})).await
}

#[tokio::test]
async fn a_token_of_the_directory_opens_the_api_over_tls() {
    let served = Served::start(PaperNode::new().0).await;
    let info = info(&served.admin().await).await.unwrap().into_inner();
    assert_eq!((info.alias.as_str(), info.network.as_str()), ("alice", "sandbox"));
    assert_eq!(info.features[1].name, "payment_secret");
    let files = Role::ALL.map(|role| served.data.token(role));
    for file in files.iter().chain([&served.data.certificate_key(), &served.data.socket()]) {
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn without_a_token_of_this_node_nothing_opens() {
    let served = Served::start(PaperNode::new().0).await;
    let none = served.client(None).await;
    let refused = report(info(&none).await);
    assert_eq!(refused.code, Code::Unauthenticated);
    assert_eq!(refused.reason.unwrap().name(), "TOKEN_MISSING");

    let foreign = Token::bake(&RootKey::from_bytes([1; 32]), Role::Admin).unwrap();
    assert_eq!(reason(info(&served.client(Some(foreign)).await).await), "TOKEN_INVALID");

    let mut bare = v1::node_client::NodeClient::new(served.channel().await);
    for word in ["zz", "abc", "0201"] {
        let mut request = tonic::Request::new(v1::InfoRequest {});
        request.metadata_mut().insert("macaroon", word.parse().unwrap());
        assert_eq!(reason(soon(bare.info(request)).await), "TOKEN_INVALID", "{word}");
    }
}

#[tokio::test]
async fn a_token_opens_what_it_allows_while_it_lives() {
    let served = Served::start(PaperNode::new().0).await;
    let admin = Token::bake(&root(), Role::Admin).unwrap();
    let until = |at| admin.clone().restrict(&Caveat::TimeBefore(at)).unwrap();
    assert!(info(&served.client(Some(until(now().0 + 60_000))).await).await.is_ok());
    let late = info(&served.client(Some(until(now().0 - 1_000))).await).await;
    assert_eq!(reason(late), "TOKEN_EXPIRED");

    let read_only = Token::bake(&root(), Role::ReadOnly).unwrap();
    let client = served.client(Some(read_only)).await;
    assert!(info(&client).await.is_ok());
    let pay = v1::PayRequest { invoice: "x".into(), ..Default::default() };
    let refused = report(soon(client.payments().pay(pay)).await);
    assert_eq!(refused.code, Code::PermissionDenied);
    assert_eq!(refused.reason.unwrap().name(), "TOKEN_FORBIDS");

    let elsewhere = Caveat::Ip("10.0.0.4".parse().unwrap());
    let token = admin.restrict(&elsewhere).unwrap();
    assert_eq!(reason(info(&served.client(Some(token)).await).await), "TOKEN_ELSEWHERE");
}

#[tokio::test]
async fn the_unix_socket_needs_no_token() {
    let served = Served::start(PaperNode::new().0).await;
    let address = Address::Unix(served.data.socket());
    let target = Target { address, certificate_pem: None, token: None };
    let client = soon(Client::connect(target)).await.unwrap();
    assert_eq!(info(&client).await.unwrap().into_inner().alias, "alice");
    served.stop.cancel();
    soon(served.server).await.unwrap().unwrap();
    assert!(!served.data.socket().exists());
}

#[tokio::test]
async fn another_certificate_is_not_trusted() {
    let served = Served::start(PaperNode::new().0).await;
    let other = Served::start(PaperNode::new().0).await;
    let target = Target {
        address: served.address(),
        certificate_pem: Some(other.certificate.clone()),
        token: None,
    };
    assert!(soon(Client::connect(target)).await.is_err());
}

#[tokio::test]
async fn files_stay_the_same_over_restarts_and_a_taken_port_is_named() {
    let served = Served::start(PaperNode::new().0).await;
    let token = std::fs::read(served.data.token(Role::Admin)).unwrap();
    let world = world(CancellationToken::new());
    let again = Bound::bind(&config(served.port), &served.data, root(), &world).await;
    let said = again.unwrap_err().to_string();
    assert!(said.contains("cannot listen on 127.0.0.1:") && said.contains("rpc.listen"), "{said}");
    let bound = Bound::bind(&config(0), &served.data, root(), &world).await.unwrap();
    assert_eq!(bound.certificate_pem(), served.certificate);
    assert_eq!(std::fs::read(served.data.token(Role::Admin)).unwrap(), token);
    assert!(served.dir.path().join("tls.cert").exists());
}

#[tokio::test]
async fn reflection_tells_every_service_without_a_token() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let served = Served::start(PaperNode::new().0).await;
    let mut client = ServerReflectionClient::new(served.channel().await);
    let list = MessageRequest::ListServices(String::new());
    let ask = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let answers = soon(client.server_reflection_info(tokio_stream::once(ask))).await.unwrap();
    let answer = answers.into_inner().next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("a list")
    };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for service in ["Node", "Wallet", "Channels", "Payments", "Invoices", "Events", "Sandbox"] {
        assert!(names.contains(&format!("viaduct.v1.{service}")), "{service} in {names:?}");
    }
}

#[tokio::test]
async fn health_says_serving_without_a_token() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    let served = Served::start(PaperNode::new().0).await;
    let mut client = HealthClient::new(served.channel().await);
    for service in ["", "viaduct.v1.Node"] {
        let ask = HealthCheckRequest { service: service.into() };
        let answer = soon(client.check(ask)).await.unwrap().into_inner();
        assert_eq!(answer.status, 1, "{service}");
    }
}
