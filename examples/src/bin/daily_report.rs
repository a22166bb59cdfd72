//! A report every evening, written by one worker of the app, however many run.
//!
//! ```text
//! cargo run --bin daily_report -- demo
//! ```
use stream_runtime::prelude::*;

/// Something was sold.
#[record(key = shop)]
struct Sale {
    shop: String,
    cents: u64,
}

#[topic("sales", value = Sale, partitions = 4)]
struct Sales;

/// What a shop has sold so far.
#[table]
#[derive(Clone, Default)]
struct Sold {
    count: u64,
    cents: u64,
}

/// All shops together.
#[record]
struct Report {
    shops: usize,
    sales: u64,
    cents: u64,
}

#[topic("reports", value = Report)]
struct Reports;

#[agent(topic = Sales)]
async fn sell(sale: Sale, mut sold: Table<Sold>) {
    sold.update(&sale.shop, |sold| {
        sold.count += 1;
        sold.cents += sale.cents;
    });
}

/// At eight in the evening, on the leader.
#[crontab("0 20 * * *", timezone = "Europe/Berlin", on_leader)]
async fn evening(sold: TableReader<Sold>, reports: Producer<Reports>) -> Result<()> {
    write(&sold, &reports, "of the day").await
}

/// And every second, so that there is something to see.
#[timer("1s", on_leader)]
async fn now(sold: TableReader<Sold>, reports: Producer<Reports>) -> Result<()> {
    write(&sold, &reports, "so far").await
}

async fn write(sold: &TableReader<Sold>, reports: &Producer<Reports>, key: &str) -> Result<()> {
    let mut report = Report {
        shops: 0,
        sales: 0,
        cents: 0,
    };
    // Of all shops, whichever workers have their rows.
    let mut shops = sold.all();
    while let Some((_shop, sold)) = shops.next().await? {
        report.add(&sold);
    }
    reports.send(key, report).await?;
    Ok(())
}

impl Report {
    fn add(&mut self, sold: &Sold) {
        self.shops += 1;
        self.sales += sold.count;
        self.cents += sold.cents;
    }
}

/// Shows it at once: broker, producer, worker and consumer in one process
#[command]
async fn demo(app: AppHandle) -> Result<()> {
    let app = app.scratch()?;
    examples::send::<Sales>(&app, sample()).await?;
    let worker = tokio::spawn(app.worker().run());
    println!("\nreports:");
    let mut reports = app.records::<Reports>()?;
    loop {
        let report = reports.next().await?;
        let Report {
            shops,
            sales,
            cents,
        } = report.value;
        println!(
            "  {}: {sales} sales in {shops} shops, {cents} cents",
            report.key
        );
        if sales == 30 {
            break;
        }
    }
    worker.abort();
    Ok(())
}

fn main() -> ExitCode {
    App::new("daily-report").main()
}

/// Thirty sales of three shops.
fn sample() -> Vec<Sale> {
    let shops = ["berlin", "paris", "rome"];
    let sale = |n: u64| Sale {
        shop: shops[(n % 3) as usize].to_owned(),
        cents: 100 + n,
    };
    (0..30).map(sale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sales_are_summed_by_shop() {
        let mut report = Report {
            shops: 0,
            sales: 0,
            cents: 0,
        };
        for cents in [10, 20] {
            report.add(&Sold { count: 2, cents });
        }
        assert_eq!((report.shops, report.sales, report.cents), (2, 4, 30));
    }
}
