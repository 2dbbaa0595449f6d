//! Zones that are replaced as a whole.

use super::*;

#[tokio::test]
async fn a_whole_zone_that_came_back_with_less_is_told_and_left_alone() {
    struct Forgetful(Paper, Mutex<bool>);
    #[async_trait]
    impl Vendor for Forgetful {
        fn kind(&self) -> &str {
            "forgetful"
        }
        fn capabilities(&self) -> Capabilities {
            self.0.capabilities().serial(SerialScope::Zone)
        }
        async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
            self.0.zone_named(apex).await
        }
    }
    #[async_trait]
    impl ZoneApi for Forgetful {
        async fn read(&self, zone: &Zone) -> Result<ZoneContent, Error> {
            let mut content = ZoneApi::read(&self.0, zone).await?;
            if *self.1.lock().unwrap() {
                content.records.remove(0);
            }
            Ok(content)
        }
        async fn replace(&self, zone: &Zone, old: &ZoneContent, new: &ZoneContent) -> Result<(), Error> {
            *self.1.lock().unwrap() = true;
            self.0.replace(zone, old, new).await
        }
    }
    let paper = Paper::new(WriteClass::ZoneReplaced);
    let provider = WholeZones::new(Forgetful(paper.clone(), Mutex::new(false)), settings());
    let error = provider.apply(&zone(), &[Change::add(name("a"), "v")]).await.unwrap_err();
    assert!(error.to_string().contains("was to stay") && error.to_string().contains("MX 10 mail"), "{error}");
    assert_eq!(paper.state().writes, 1);
}
