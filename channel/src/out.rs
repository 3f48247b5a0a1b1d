//! What one step collects: the record of its facts, and the effects that wait for it.

use wire::message::Message;

use crate::effect::{Alarm, Answer, Effect, Notice};
use crate::event::{Command, CommandId};
use crate::refusal::Refusal;
use crate::seal::Step;

/// A step in the making.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub(crate) record: Vec<u8>,
    pub(crate) effects: Vec<Effect>,
}

impl Out {
    pub(crate) fn into_step<S>(self, next: S) -> Step<S, Effect> {
        Step::new(next, self.record, self.effects)
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn send(&mut self, message: impl Into<Message>) {
        self.effect(Effect::Send(message.into()));
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        self.effect(Effect::Notice(notice));
    }

    pub(crate) fn alarm(&mut self, alarm: Alarm) {
        self.effect(Effect::Alarm(alarm));
    }

    pub(crate) fn answer(&mut self, command: CommandId, answer: Result<Answer, Refusal>) {
        self.effect(Effect::Answer(command, answer));
    }

    /// Says no to whoever gave this command, if anybody waits for an answer.
    pub(crate) fn refuse(&mut self, command: &Command, refusal: Refusal) {
        if let Some(asker) = command.asker() {
            self.answer(asker, Err(refusal));
        }
    }
}
