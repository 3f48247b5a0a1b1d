//! Service `Why`.

use api::v1;
use api::v1::why_server::Why;
use bitcoin::Amount;
use tonic::{Request, Response, Status};

use super::model::why::{Step, Wait};
use super::{NodeApi, Rpc, parse};

#[tonic::async_trait]
impl<N: NodeApi> Why for Rpc<N> {
    async fn channel(
        &self,
        request: Request<v1::WhyChannelRequest>,
    ) -> Result<Response<v1::WhyChannelResponse>, Status> {
        let which = parse::channel(&request.into_inner().channel_id)?;
        let why = self.node.why_channel(which).await?;
        Ok(Response::new(v1::WhyChannelResponse {
            channel_id: why.id.to_string(),
            node_id: why.node.to_string(),
            node_alias: why.channel.map(|channel| channel.node_alias).unwrap_or_default(),
            summary: why.summary,
            force_close: why.policy.to_owned(),
            steps: why.steps.into_iter().map(step).collect(),
            steps_left_out: why.left_out,
            waiting: why.waiting.into_iter().map(wait).collect(),
            cost_sat: why.cost.to_sat(),
            home_sat: why.home.to_sat(),
        }))
    }

    async fn payment(
        &self,
        request: Request<v1::WhyPaymentRequest>,
    ) -> Result<Response<v1::WhyPaymentResponse>, Status> {
        let hash = parse::payment_hash(&request.into_inner().payment_hash)?;
        let why = self.node.why_payment(hash).await?;
        Ok(Response::new(v1::WhyPaymentResponse {
            payment_hash: why.hash.to_string(),
            status: why.status.to_owned(),
            summary: why.summary,
            steps: why.steps.into_iter().map(step).collect(),
            waiting: why.waiting.into_iter().map(wait).collect(),
        }))
    }
}

fn step(step: Step) -> v1::WhyStep {
    v1::WhyStep {
        seq: step.seq,
        at_ms: step.at.map(|at| at.0),
        height: step.height.map(|height| height.0),
        code: step.code.to_owned(),
        text: step.text,
        txid: step.txid.map(|txid| txid.to_string()),
        amount_sat: step.amount.map(Amount::to_sat),
        fee_sat: step.fee.map(Amount::to_sat),
    }
}

fn wait(wait: Wait) -> v1::WhyWait {
    v1::WhyWait {
        text: wait.text,
        until_height: wait.until.map(|height| height.0),
        amount_sat: wait.amount.map(Amount::to_sat),
        outpoint: wait.outpoint.map(|outpoint| outpoint.to_string()),
    }
}
