//! Providers that ask for keys, paths and models in their own way.

use http::Request;
use http_body_util::Full;
use sluicegate::server::Running;

use crate::house::{App, proxy};
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::Recorder;
use crate::routes::says;

/// One upstream of a dialect, at `path` of the recorder's host.
fn speaking(recorder: &Recorder, dialect: &str, path: &str, more: &str) -> String {
    let base = recorder.base_url().replace("/v1", path);
    format!(
        "[[upstreams]]\nname = \"{dialect}\"\nbase_url = \"{base}\"\ndialect = \"{dialect}\"\n{more}\n\
         accounts = [{{ name = \"main\", keys = [{{ key = \"ours\", label = \"ours\" }}] }}]\n"
    )
}

async fn ask(proxy: &Running, path: &str, body: &str) -> u16 {
    App::new(proxy.listen(), "notebook").post(path, body).await.status().as_u16()
}

const DEPLOYMENTS: &str = "deployments = [{ model = \"gpt-4o\", name = \"mine\" }]";

#[tokio::test]
async fn azure_gets_its_key_and_the_name_of_the_deployment_in_the_body() {
    let azure = says(SAID).await;
    let proxy = proxy(&speaking(&azure, "azure", "/openai/v1", DEPLOYMENTS)).await;
    assert_eq!(ask(&proxy, CHAT, HELLO).await, 200);
    let seen = azure.seen().remove(0);
    assert_eq!(seen.path, "/openai/v1/chat/completions");
    assert_eq!(seen.text(), HELLO.replace("gpt-4o", "mine"));
    assert_eq!((seen.header("api-key"), seen.header("authorization")), (Some("ours"), None));
}

#[tokio::test]
async fn azures_older_paths_name_the_deployment_and_leave_the_body_alone() {
    let azure = says(SAID).await;
    let dated = format!("{DEPLOYMENTS}\napi_version = \"2024-10-21\"");
    let proxy = proxy(&speaking(&azure, "azure", "/openai", &dated)).await;
    assert_eq!(ask(&proxy, CHAT, HELLO).await, 200);
    let seen = azure.seen().remove(0);
    assert_eq!(seen.path, "/openai/deployments/mine/chat/completions?api-version=2024-10-21");
    assert_eq!(seen.text(), HELLO);
}

#[tokio::test]
async fn a_client_of_azures_is_counted_wherever_it_is_led() {
    let (azure, other) = (says(SAID).await, says(SAID).await);
    let more = format!(
        "[[upstreams]]\nname = \"other\"\nbase_url = \"{}\"\naccounts = [{{ name = \"b\", keys = \
         [{{ key = \"b\", label = \"b\" }}] }}]\n[[routes]]\nmodels = \"far\"\nupstream = \"other\"\n",
        other.base_url()
    );
    let proxy = proxy(&format!("{}{more}", speaking(&azure, "azure", "/openai/v1", ""))).await;
    // Its body need not name the model.
    let body = r#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":8}"#;
    let path =
        |name: &str| format!("/openai/deployments/{name}/chat/completions?api-version=2024-10-21");
    let app = App::new(proxy.listen(), "notebook");
    for name in ["near", "far"] {
        let request = Request::post(format!("http://{}{}", proxy.listen(), path(name)))
            .header("api-key", "notebook")
            .body(Full::from(body))
            .expect("a request");
        let answer = app.send(request).await;
        assert_eq!(
            answer.header("x-sluicegate-charged-tokens"),
            Some("9"),
            "{name} is not counted"
        );
    }
    assert_eq!((azure.seen()[0].path.clone(), azure.seen()[0].text()), (path("near"), body.into()));
    let led = other.seen().remove(0);
    assert_eq!(led.path, "/v1/chat/completions");
    assert_eq!(led.text(), body.replacen('{', "{\"model\":\"far\",", 1));
    assert_eq!(led.header("authorization"), Some("Bearer b"));
}
