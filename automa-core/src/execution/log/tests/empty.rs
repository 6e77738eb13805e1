use crate::execution::log::LogReader;

#[test]
fn an_empty_log_has_nothing_to_read() {
    for complete in [false, true] {
        let log = LogReader::empty("missing.log".into(), complete).unwrap();
        for window in [log.lines(1, 10), log.lines(7, 10), log.tail(10)] {
            let window = window.unwrap();
            assert!(window.lines.is_empty());
            assert_eq!((window.total, window.complete), (0, complete));
        }
        assert!(log.raw(0..100).unwrap().is_empty());
        assert_eq!((log.total(), log.raw_len(), log.summary().is_some()), (0, 0, complete));
    }
}
