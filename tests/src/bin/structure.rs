//! Prints the structure's figures: `cargo run -p tests --bin structure`.

use tests::structure::{
    CRATES, banned, circles, files, functions, lines_without_tests, structs, undocumented,
};

/// Fields of a struct that are still fine.
const FIELDS: usize = 16;

fn main() {
    for package in CRATES {
        println!("{package}");
        let mut lines: Vec<usize> = files(package)
            .iter()
            .map(|file| lines_without_tests(&file.text()))
            .collect();
        println!("  files       {}", spread(&mut lines));
        let functions = functions(package);
        let mut sizes: Vec<usize> = functions.iter().map(|it| it.lines).collect();
        println!("  functions   {}", spread(&mut sizes));
        let arguments = functions.iter().max_by_key(|it| it.arguments);
        if let Some(most) = arguments {
            println!(
                "  arguments   max {} ({}::{})",
                most.arguments, most.file, most.name
            );
        }
        let mut large = structs(package);
        large.retain(|it| it.fields > FIELDS);
        large.sort_by_key(|it| std::cmp::Reverse(it.fields));
        println!("  structs of more than {FIELDS} fields: {}", large.len());
        for it in large {
            println!("    {:>3} {}::{}", it.fields, it.file, it.name);
        }
        let circles = circles(package);
        println!("  circles of files: {}", circles.len());
        for circle in circles {
            println!("    {:>3} {}", circle.len(), circle.join(" "));
        }
        println!("  banned words: {:?}", banned(package));
        let missing = undocumented(package);
        println!("  public items without an example: {}", missing.len());
        for chunk in missing.chunks(6) {
            println!("    {}", chunk.join(" "));
        }
    }
}

fn spread(figures: &mut [usize]) -> String {
    figures.sort_unstable();
    let at = |of_hundred: usize| {
        figures
            .get((figures.len().max(1) - 1) * of_hundred / 100)
            .copied()
            .unwrap_or(0)
    };
    format!(
        "{}: median {}, p90 {}, p99 {}, max {}",
        figures.len(),
        at(50),
        at(90),
        at(99),
        at(100)
    )
}
