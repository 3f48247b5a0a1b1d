//! LDK keeps our backup and gives it back. BOLT 1 § Peer Storage.

use super::table::{Table, node_id, public};
use daemon::rpc::model::backup::BackupSource;
use daemon::rpc::node_api::NodeApi as _;
use viaduct_tests::until::until_async;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldk_keeps_our_backup_and_gives_it_back_on_the_next_connection() {
    let table = Table::lay().await;
    let (id, channel) = table.we_open().await;
    let ldk = node_id(table.ldk.id());
    let given = until_async("LDK to be given a backup", String::new, || async {
        let status = table.ours.handle().backup_status().await.unwrap();
        status.holders.first().copied().filter(|(node, _)| *node == ldk)
    })
    .await;
    let table = table.we_crash().await;
    table.ldk.connect(public(table.ours.id()), table.ours.address()).await;
    let content = until_async("LDK to give it back", String::new, || async {
        table.ours.handle().verify_backup(BackupSource::Peers).await.ok()
    })
    .await;
    assert_eq!(content.counter, given.1);
    assert_eq!(content.channels.iter().map(|channel| channel.id).collect::<Vec<_>>(), [id]);
    assert!(content.missing.is_empty());
    let status = table.ours.handle().backup_status().await.unwrap();
    assert_eq!(status.ahead, None, "it is the newest we know");
    table.usable(channel).await;
}
