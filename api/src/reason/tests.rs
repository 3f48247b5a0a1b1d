//! Tests of `reason`.

use super::*;

#[test]
fn a_refusal_comes_back_as_it_was_sent() {
    let status: Status = Refused::new(Reason::FundsInsufficient)
        .because("need 12 340 sat more: 50 000 asked, 37 660 can be spent")
        .with("missing_sat", 12_340)
        .retry_after(Duration::from_secs(3))
        .into();
    assert_eq!(status.code(), Code::FailedPrecondition);

    let report = Report::read(&status);
    assert_eq!(report.reason, Some(Reason::FundsInsufficient));
    assert_eq!(report.message, "need 12 340 sat more: 50 000 asked, 37 660 can be spent");
    assert_eq!(report.metadata.get("missing_sat").map(String::as_str), Some("12340"));
    assert_eq!(report.retry_after, Some(Duration::from_secs(3)));
    assert_eq!(report.money(), Money::Untouched);
}

#[test]
fn without_words_of_its_own_a_refusal_says_its_cause() {
    let status = Status::from(Reason::NoRoute);
    assert_eq!(status.message(), Reason::NoRoute.cause());
}

#[test]
fn a_payment_that_was_started_is_never_called_untouched() {
    let refused = Refused::new(Reason::Overloaded);
    let started = Status::from(refused.clone().payment_started(true));
    let not_started = Status::from(Refused::new(Reason::Internal).payment_started(false));
    assert_eq!(Report::read(&Status::from(refused)).money(), Money::Untouched);
    assert_eq!(Report::read(&started).money(), Money::Unknown);
    assert_eq!(Report::read(&not_started).money(), Money::Untouched);
}

#[test]
fn a_status_from_somebody_else_is_read_carefully() {
    let report = Report::read(&Status::unavailable("connection reset"));
    assert_eq!((report.reason, report.money()), (None, Money::Unknown));

    let foreign = ErrorDetails::with_error_info("NO_ROUTE", "example.org", HashMap::new());
    let status = Status::with_error_details(Code::Unknown, "?", foreign);
    assert_eq!(Report::read(&status).reason, None);
}

#[test]
fn every_reason_has_a_name_of_its_own_and_says_what_to_do() {
    let mut names = std::collections::BTreeSet::new();
    for reason in Reason::ALL {
        assert!(names.insert(reason.name()), "{} twice", reason.name());
        assert_eq!(reason.name().parse(), Ok(*reason));
        assert_ne!(reason.code(), Code::Ok);
        for sentence in [reason.cause(), reason.remedy()] {
            assert!(sentence.ends_with('.') && sentence.len() > 10, "{}", reason.name());
        }
    }
    assert_eq!("NO_SUCH_THING".parse::<Reason>(), Err(UnknownReason));
}
