//! Tests of `auth`.

use super::*;

const NOW: UnixMs = 1_795_343_115_000;
const PAY: &str = "/viaduct.v1.Payments/Pay";
const INFO: &str = "/viaduct.v1.Node/Info";

fn verifier() -> Verifier {
    Verifier::new(RootKey::from_bytes([7; 32]))
}

fn token(role: Role) -> Token {
    Token::bake(&RootKey::from_bytes([7; 32]), role).unwrap()
}

fn check(token: &Token, method: &str, ip: Option<&str>) -> Result<(), AuthError> {
    let bytes = token.to_bytes().map_err(|_| AuthError::Invalid)?;
    verifier().check(method, &bytes, NOW, ip.and_then(|ip| ip.parse().ok()))
}

#[test]
fn each_role_opens_what_it_should_and_nothing_else() {
    for (role, method, allowed) in [
        (Role::Admin, PAY, true),
        (Role::Admin, "/viaduct.v1.Node/Stop", true),
        (Role::ReadOnly, INFO, true),
        (Role::ReadOnly, "/viaduct.v1.Events/Subscribe", true),
        (Role::ReadOnly, PAY, false),
        (Role::ReadOnly, "/viaduct.v1.Invoices/Create", false),
        (Role::Invoice, "/viaduct.v1.Invoices/Create", true),
        (Role::Invoice, "/viaduct.v1.Wallet/Balance", false),
        (Role::Invoice, "/viaduct.v2.Node/Info", false),
    ] {
        let expected = if allowed { Ok(()) } else { Err(AuthError::Forbids) };
        assert_eq!(check(&token(role), method, None), expected, "{role:?} {method}");
    }
}

#[test]
fn a_holder_can_weaken_a_token_without_the_key() {
    let pay_only = Caveat::Methods(MethodSet::new([PAY]).unwrap());
    let weak = token(Role::Admin).restrict(&pay_only).unwrap();
    assert_eq!(check(&weak, PAY, None), Ok(()));
    assert_eq!(check(&weak, INFO, None), Err(AuthError::Forbids));

    let all = Caveat::Methods(MethodSet::new(["/viaduct.v1.Payments/*"]).unwrap());
    let still_weak = weak.restrict(&all).unwrap();
    assert_eq!(check(&still_weak, "/viaduct.v1.Payments/List", None), Err(AuthError::Forbids));
}

#[test]
fn a_token_ends_at_its_time_and_not_before() {
    let until = |end| token(Role::Admin).restrict(&Caveat::TimeBefore(end)).unwrap();
    assert_eq!(check(&until(NOW + 1_000), PAY, None), Ok(()));
    assert_eq!(check(&until(NOW), PAY, None), Err(AuthError::Expired));
    assert_eq!(check(&until(NOW - 60_000), PAY, None), Err(AuthError::Expired));
}

#[test]
fn the_caveats_that_lncli_adds_are_understood() {
    let mut macaroon = token(Role::Admin).0;
    macaroon.add_first_party_caveat("time-before 2026-11-22T10:26:15.123456789Z").unwrap();
    macaroon.add_first_party_caveat("ipaddr 10.0.0.4").unwrap();
    let token = Token(macaroon);
    assert_eq!(check(&token, PAY, Some("10.0.0.4")), Ok(()));
    assert_eq!(check(&token, PAY, Some("::ffff:10.0.0.4")), Ok(()));
    assert_eq!(check(&token, PAY, Some("10.0.0.5")), Err(AuthError::Elsewhere));
    assert_eq!(check(&token, PAY, None), Err(AuthError::Elsewhere));
}

#[test]
fn a_caveat_that_nobody_can_check_closes_the_door() {
    for predicate in
        ["lnd-custom x", "role root", "methods Pay", "methods ", "time-before soon", "x"]
    {
        let mut macaroon = token(Role::Admin).0;
        macaroon.add_first_party_caveat(predicate).unwrap();
        assert_eq!(check(&Token(macaroon), PAY, None), Err(AuthError::Invalid), "{predicate}");
    }
    let mut macaroon = token(Role::Admin).0;
    let key = MacaroonKey::from([1; 32]);
    macaroon.add_third_party_caveat("elsewhere", &key, "id").unwrap();
    assert_eq!(check(&Token(macaroon), PAY, None), Err(AuthError::Invalid));
}

#[test]
fn a_token_of_another_key_or_changed_in_one_bit_is_invalid() {
    let other = Token::bake(&RootKey::from_bytes([8; 32]), Role::Admin).unwrap();
    assert_eq!(check(&other, PAY, None), Err(AuthError::Invalid));

    let bytes = token(Role::ReadOnly).to_bytes().unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        // The location is only a hint and not signed; a change there changes no right.
        let only_location = Token::from_bytes(&changed).is_ok_and(|Token(changed)| {
            let Token(original) = Token::from_bytes(&bytes).unwrap();
            changed.location() != original.location()
                && changed.identifier() == original.identifier()
                && changed.caveats() == original.caveats()
                && changed.signature() == original.signature()
        });
        let verdict = verifier().check(INFO, &changed, NOW, None);
        assert_eq!(verdict.is_ok(), only_location, "bit {bit}");
    }
}

#[test]
fn a_caveat_cannot_be_taken_off() {
    let strong = token(Role::Admin);
    let weak = strong.clone().restrict(&Caveat::Role(Role::ReadOnly)).unwrap();
    let mut forged =
        Macaroon::create(None, &MacaroonKey::from([0; 32]), strong.0.identifier()).unwrap();
    forged.add_first_party_caveat("role readonly").unwrap();
    assert_eq!(check(&Token(forged), INFO, None), Err(AuthError::Invalid));
    assert_eq!(check(&weak, PAY, None), Err(AuthError::Forbids));
}

#[test]
fn junk_of_any_length_is_refused_and_never_panics() {
    for len in 0..300usize {
        let junk: Vec<u8> = (0..len).map(|i| (i * 37 + len) as u8).collect();
        assert_eq!(verifier().check(PAY, &junk, NOW, None), Err(AuthError::Invalid));
        let mut versioned = vec![2];
        versioned.extend(junk);
        assert_eq!(verifier().check(PAY, &versioned, NOW, None), Err(AuthError::Invalid));
    }
    assert_eq!(Token::from_bytes(&vec![2; TOKEN_LEN_MAX + 1]), Err(TokenError::Malformed));
}

#[test]
fn metadata_carries_the_token_as_hex() {
    let mut metadata = MetadataMap::new();
    assert_eq!(verifier().check_call(PAY, &metadata, NOW, None), Err(AuthError::Missing));
    let hex = token(Role::Admin).to_hex().unwrap();
    metadata.insert(METADATA_KEY, hex.parse().unwrap());
    assert_eq!(verifier().check_call(PAY, &metadata, NOW, None), Ok(()));
    metadata.insert(METADATA_KEY, "xyz".parse().unwrap());
    assert_eq!(verifier().check_call(PAY, &metadata, NOW, None), Err(AuthError::Invalid));
}

#[test]
fn caveats_read_as_they_were_written() {
    for caveat in [
        Caveat::Role(Role::Invoice),
        Caveat::Methods(MethodSet::new([PAY, "/viaduct.v1.Invoices/*"]).unwrap()),
        Caveat::TimeBefore(NOW),
        Caveat::Ip("2001:db8::1".parse().unwrap()),
    ] {
        assert_eq!(Caveat::parse(caveat.to_string().as_bytes()), Ok(caveat));
    }
}

#[test]
fn a_token_does_not_grow_without_bound() {
    let mut token = token(Role::Admin);
    let long = Caveat::Methods(MethodSet::new([PAY]).unwrap());
    let mut added = 0;
    while let Ok(weaker) = token.clone().restrict(&long) {
        token = weaker;
        added += 1;
        assert!(added < 1_000);
    }
    assert!(token.to_bytes().unwrap().len() <= TOKEN_LEN_MAX);
}

#[test]
fn secrets_do_not_print() {
    let root = RootKey::from_bytes([0xab; 32]);
    assert!(!format!("{root:?}").contains("ab"));
    assert_eq!(format!("{:?}", token(Role::Admin)), "Token");
}
