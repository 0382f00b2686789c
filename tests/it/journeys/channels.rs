//! Every channel, from its own platform and through the product that owns it.

use domain::request::Closing;
use domain::right::Right;
use sandbox::{Answering, Manner, Verdict};
use tests::harness::{ACCESS, Client, DELETE, Person, Router, Sent};
use tests::on_both;

/// One message, as the platform sends it and as a product forwards another one like it.
async fn both_ways(router: &Router, name: &str, message: impl Fn(&Client<'_>, &Person) -> Sent) {
    let client = router.client(name).await;
    let case = client.hears(&message(&client, &Person::new())).await;
    client.done(&case, Closing::Fulfilled).await;
    let case = client.hears_forwarded(&message(&client, &Person::new())).await;
    client.done(&case, Closing::Fulfilled).await;
}

async fn whatsapp(router: &Router) {
    both_ways(router, "nablus-sweets", |client, person| {
        client.whatsapp(person, DELETE)
    })
    .await;
}

async fn whatsapp_without_a_phone_number(router: &Router) {
    both_ways(router, "jenin-books", |client, person| {
        client.whatsapp_without_phone(person, DELETE)
    })
    .await;
}

async fn messenger(router: &Router) {
    both_ways(router, "hebron-glass", |client, person| {
        client.messenger(person, DELETE)
    })
    .await;
}

async fn instagram(router: &Router) {
    both_ways(router, "ramallah-roast", |client, person| {
        client.instagram(person, "delete my data please")
    })
    .await;
}

async fn telegram(router: &Router) {
    both_ways(router, "jericho-dates", |client, person| {
        client.telegram(person, "/delete_my_data")
    })
    .await;
}

async fn access_by_chat(router: &Router) {
    let client = router.client("gaza-linen").await;
    let case = client.hears(&client.whatsapp(&Person::new(), ACCESS)).await;
    client.done(&case, Closing::Fulfilled).await;
    assert_eq!(case.shown().await.right, Right::Access);
}

/// The receipt comes back in the answer to the webhook.
async fn rest(router: &Router) {
    let manner = Manner::good(Verdict::Completed, Answering::InBody);
    let client = router.client_of("haifa-salon", vec![("crm", manner)]).await;
    for right in ["deletion", "access"] {
        let case = client.asks(right, &Person::new()).await;
        client.done(&case, Closing::Fulfilled).await;
        let proved = case.proved(1).await;
        let domain::receipt::Report::Completed(completion) = &proved.receipts[0].1.receipt.report else {
            panic!("not a completion");
        };
        assert_eq!(
            completion.artifact.is_some(),
            right == "access",
            "a package is for whoever asked for one"
        );
    }
}

on_both!(
    whatsapp,
    whatsapp_without_a_phone_number,
    messenger,
    instagram,
    telegram,
    access_by_chat,
    rest,
);
