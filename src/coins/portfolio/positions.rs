//! Computes what is held of a coin, what it cost and what its sales gained, by average cost and by first in, first out.
//!
//! Average cost: a sale takes the same share of the cost as of the amount. First in, first out (FIFO): a sale takes the
//! oldest purchases first. Both are methods of IAS 2 (paragraph 25), there for inventories. The two divide the same gain
//! differently between what is sold and what is held, so `realised` plus `unrealised` is the same for both.

use std::collections::{HashMap, VecDeque};

use bigdecimal::{BigDecimal, RoundingMode, Zero};

use super::model::{Kind, Transaction};
use crate::db::CoinId;

/// Decimals of a quotient. Far more than are shown, so that thousands of sales leave no visible error.
const DECIMALS: i64 = 30;

/// A purchase or a sale of the coin.
#[derive(Clone, Debug)]
pub struct Trade {
    pub kind: Kind,
    pub amount: BigDecimal,
    /// Paid with fees, or received after fees.
    pub total: BigDecimal,
}

pub fn trade(transaction: &Transaction) -> Trade {
    let Transaction { kind, amount, total, .. } = transaction;
    Trade { kind: *kind, amount: amount.0.clone(), total: total.0.clone() }
}

/// Returns the positions after all transactions.
pub fn positions(transactions: &[Transaction]) -> HashMap<CoinId, Position> {
    let mut positions: HashMap<CoinId, Position> = HashMap::new();
    for one in transactions {
        // The store refuses a sale of more than is held.
        let _ = positions.entry(one.coin).or_default().add(&trade(one));
    }
    positions
}

/// By one of the methods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gain {
    /// What was paid for the amount that is held.
    pub cost: BigDecimal,
    /// What sales brought in more than had been paid for what was sold.
    pub realised: BigDecimal,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Position {
    pub amount: BigDecimal,
    pub average_cost: Gain,
    pub fifo: Gain,
    /// The purchases that are held, the oldest first: amount and cost.
    lots: VecDeque<(BigDecimal, BigDecimal)>,
}

/// A sale is of more than is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oversold;

impl Position {
    /// Adds the next purchase or sale.
    ///
    /// # Errors
    /// A sale of more than is held; the position is as before.
    pub fn add(&mut self, trade: &Trade) -> Result<(), Oversold> {
        let Trade { kind, amount, total } = trade;
        match kind {
            Kind::Buy => {
                self.amount += amount;
                self.average_cost.cost += total;
                self.fifo.cost += total;
                self.lots.push_back((amount.clone(), total.clone()));
            }
            Kind::Sell if *amount > self.amount => return Err(Oversold),
            Kind::Sell => {
                let cost = share(&self.average_cost.cost, amount, &self.amount);
                self.average_cost.sell(cost, total);
                let cost = self.take_oldest(amount.clone());
                self.fifo.sell(cost, total);
                self.amount -= amount;
            }
        }
        Ok(())
    }

    /// Takes this amount from the oldest purchases, and returns what was paid for it.
    fn take_oldest(&mut self, mut amount: BigDecimal) -> BigDecimal {
        let mut cost = BigDecimal::zero();
        while let Some((held, paid)) = self.lots.front_mut().filter(|_| !amount.is_zero()) {
            if *held <= amount {
                amount -= &*held;
                cost += &*paid;
                self.lots.pop_front();
            } else {
                let part = share(paid, &amount, held);
                *held -= &amount;
                *paid -= &part;
                cost += part;
                amount.set_zero();
            }
        }
        cost
    }
}

impl Gain {
    fn sell(&mut self, cost: BigDecimal, total: &BigDecimal) {
        self.realised += total - &cost;
        self.cost -= cost;
    }
}

/// Returns `cost * amount / whole`. It is exact if the amount is the whole, so that no cost remains without an amount.
fn share(cost: &BigDecimal, amount: &BigDecimal, whole: &BigDecimal) -> BigDecimal {
    if amount == whole {
        return cost.clone();
    }
    (cost * amount / whole).with_scale_round(DECIMALS, RoundingMode::HalfEven)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trade(kind: Kind, amount: &str, total: &str) -> Trade {
        Trade { kind, amount: amount.parse().expect("a number"), total: total.parse().expect("a number") }
    }

    fn position(trades: &[Trade]) -> Result<Position, Oversold> {
        let mut position = Position::default();
        trades.iter().try_for_each(|trade| position.add(trade)).map(|()| position)
    }

    fn number(text: &str) -> BigDecimal {
        text.parse().expect("a number")
    }

    use Kind::{Buy, Sell};

    /// 1 for 100, 1 for 200, then 1 sold for 250 and half of one for 90.
    #[test]
    fn the_methods_divide_the_gain_as_their_definitions_say() {
        let trades = [
            trade(Buy, "1", "100"),
            trade(Buy, "1", "200"),
            trade(Sell, "1", "250"),
            trade(Sell, "0.5", "90"),
        ];
        let found = position(&trades).expect("enough");
        assert_eq!(found.amount, number("0.5"));
        // Average: 300 for 2 is 150 each. FIFO: the first cost 100, half of the second 100.
        assert_eq!(found.average_cost, Gain { cost: number("75"), realised: number("115") });
        assert_eq!(found.fifo, Gain { cost: number("100"), realised: number("140") });
    }

    #[test]
    fn a_position_that_is_sold_leaves_no_cost() {
        let trades = [
            trade(Buy, "0.3", "100"),
            trade(Sell, "0.1", "0"),
            trade(Sell, "0.1", "50"),
            trade(Sell, "0.1", "0.000000000000000001"),
        ];
        let found = position(&trades).expect("enough");
        assert_eq!(
            (&found.amount, &found.average_cost.cost, &found.fifo.cost),
            (&number("0"), &number("0"), &number("0"))
        );
        assert_eq!(found.average_cost.realised.round(15), number("-50"));
        assert!(found.lots.is_empty());
    }

    #[test]
    fn more_than_is_held_cannot_be_sold() {
        let bought = trade(Buy, "0.000000000000000001", "1");
        assert!(position(&[bought.clone(), trade(Sell, "0.000000000000000001", "1")]).is_ok());
        assert_eq!(position(&[bought, trade(Sell, "0.000000000000000002", "1")]), Err(Oversold));
        assert_eq!(position(&[trade(Sell, "1", "1")]), Err(Oversold));
    }

    fn trades() -> impl Strategy<Value = Vec<Trade>> {
        let one =
            (any::<bool>(), 1u64..1_000_000, 0u64..1_000_000_000).prop_map(|(buys, amount, total)| Trade {
                kind: if buys { Buy } else { Sell },
                amount: BigDecimal::new(amount.into(), 4),
                total: BigDecimal::new(total.into(), 2),
            });
        proptest::collection::vec(one, 0..60)
    }

    proptest! {
        #[test]
        fn both_methods_give_the_same_gain_in_total(trades in trades()) {
            let mut found = Position::default();
            let mut paid = BigDecimal::zero();
            for trade in &trades {
                if found.add(trade).is_ok() {
                    paid += if trade.kind == Buy { trade.total.clone() } else { -trade.total.clone() };
                }
            }
            for gain in [&found.average_cost, &found.fifo] {
                // What is held was paid for, less what sales brought in beyond their cost.
                prop_assert_eq!(&gain.cost - &gain.realised, paid.clone());
                prop_assert!(gain.cost >= BigDecimal::zero());
            }
            let lots: BigDecimal = found.lots.iter().map(|(amount, _)| amount.clone()).sum();
            prop_assert_eq!(lots, found.amount);
        }
    }
}
